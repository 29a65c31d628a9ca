import type { KeyedLock } from '../../../core/concurrency/keyed-lock.ts'
import type { PublicArea } from '../../../core/tpm/public-area.ts'

/** Which machines this verifier attests. */
export interface Leasing {
  /** As far as this process knows. */
  has(agentId: string): boolean
  /** Has this verifier attest a machine from now on, whichever did before; nothing for one that is not enrolled. */
  own(agentId: string): Promise<void>
  /** The attestation key of a machine that another verifier attests; null for none. */
  strangerAk(agentId: string): Promise<PublicArea | null>
  /** Asked before V leaves. @throws KeylimeError when another verifier attests the machine by now, or that cannot be known. */
  assure(agentId: string): Promise<void>
  /** It is known that another verifier attests it: nothing of it is done here any more. */
  lost(): void
  /** This verifier alone uses the database, as far as is known. */
  readonly isAlone: boolean
  /** Takes its share, and keeps it. */
  start(): Promise<void>
  stop(): Promise<void>
}

/** Of a verifier that has its database for itself. @param takeUp all that is enrolled. */
export const soleLeasing = (takeUp: () => Promise<unknown>): Leasing => ({
  has: () => true,
  own: async () => undefined,
  strangerAk: async () => null,
  assure: async () => undefined,
  lost: () => undefined,
  isAlone: true,
  async start() {
    await takeUp()
  },
  stop: async () => undefined,
})

/** The same lock for commands of operators: this verifier attests a machine before it does something with it. */
export const owning = (lock: KeyedLock, own: (agentId: string) => Promise<void>): KeyedLock => ({
  take: (agentId, work) => lock.take(agentId, () => own(agentId).then(work)),
})
