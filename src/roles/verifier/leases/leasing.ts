import type { KeyedLock } from '../../../core/concurrency/keyed-lock.ts'
import type { PublicArea } from '../../../core/tpm/public-area.ts'

/** How machines are spread over the verifiers, and how they came here and went since the start. */
export interface LeaseFigures {
  /** Verifiers that live, this one among them. */
  readonly verifiers: number
  readonly held: number
  /** This verifier's share, as far as others can let machines go. */
  readonly wanted: number
  /** Taken, as nobody attested them who lives. */
  readonly free: number
  /** Taken from a verifier that lives: its machine, or a command for it, came here. */
  readonly asked: number
  /** Left to others, as this verifier had more than its share. */
  readonly given: number
  /** Found to be attested by another. */
  readonly lost: number
}

/** Which machines this verifier attests. */
export interface Leasing {
  /** As far as this process knows. */
  has(agentId: string): boolean
  /** The names of the verifiers that attest machines, by the id; null where none does now. */
  holders(agentIds: readonly string[]): Promise<(agentId: string) => string | null>
  /** Has this verifier attest a machine from now on, whichever did before; nothing for one that is not enrolled. */
  own(agentId: string): Promise<void>
  /** The attestation key of a machine that another verifier attests; null for none. */
  strangerAk(agentId: string): Promise<PublicArea | null>
  /** Asked before V leaves. @throws KeylimeError when another verifier attests the machine by now, or that cannot be known. */
  assure(agentId: string): Promise<void>
  /** It is known that another verifier attests it: nothing of it is done here any more. */
  lost(): void
  readonly figures: LeaseFigures
  /** What other verifiers do is not known now. */
  readonly isDown: boolean
  /** Takes its share, and keeps it. */
  start(): Promise<void>
  stop(): Promise<void>
}

/** Of a verifier that has its database for itself. @param takeUp all that is enrolled. @param count of machines. */
export const soleLeasing = (name: string, takeUp: () => Promise<unknown>, count: () => number): Leasing => ({
  has: () => true,
  holders: async () => () => name,
  own: async () => undefined,
  strangerAk: async () => null,
  assure: async () => undefined,
  lost: () => undefined,
  isDown: false,
  get figures() {
    return { verifiers: 1, held: count(), wanted: count(), free: 0, asked: 0, given: 0, lost: 0 }
  },
  async start() {
    await takeUp()
  },
  stop: async () => undefined,
})

/** The same lock for commands of operators: this verifier attests a machine before it does something with it. */
export const owning = (lock: KeyedLock, own: (agentId: string) => Promise<void>): KeyedLock => ({
  take: (agentId, work) => lock.take(agentId, () => own(agentId).then(work)),
  isTaken: lock.isTaken,
})
