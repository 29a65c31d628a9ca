import { createHash } from 'node:crypto'
import type { NoticeOutcome } from '../../../core/api/notice.ts'
import type { WaitRequest } from '../../../core/api/push/wait.ts'
import type { Clock } from '../../../io/clock.ts'
import type { StoredRevocation } from '../../../io/db/revocation-tables.ts'
import { envelopeOf, type NoticeEnvelope } from './tell-agent.ts'

/** A notice that lies ready for one machine. Times are monotonic milliseconds. */
interface Ready {
  /** Shared by all machines that it is for. */
  readonly revocation: StoredRevocation
  onOutcome(outcome: NoticeOutcome): void
  offers: number
  /** It is not given again before. */
  offerAt: number
  /** The machine has it: it is waited for what becomes of it. */
  isTaken: boolean
}

/** That it has not taken. More are kept where they are stored, and come when there is room. */
export const MAX_READY = 32
/** What a machine reads of one answer. */
const MAX_GIVEN = 16
/** As they stand in the answer, which a machine reads up to 256 KiB of. */
const MAX_BYTES = 160 << 10
/** The wire's, in `core/api/push/wait.ts`. */
const MAX_TEXT = 65_536
const MAX_SIGNATURE = 8192
const FIRST_AGAIN_MS = 500
const MAX_AGAIN_MS = 30_000

/**
 * Notices for machines that nobody can call: each lies here until its machine has fetched it and said what became of it. What is not acknowledged is given again, later and later. It holds
 * nothing that is not stored, and no text twice.
 */
export class NoticeOutbox {
  readonly #clock: Pick<Clock, 'monotonic'>
  readonly #boxes = new Map<string, Map<string, Ready>>()
  #tell: (agentId: string) => void = () => {}

  constructor(clock: Pick<Clock, 'monotonic'>) {
    this.#clock = clock
  }

  /** @param tell that there is something new for a machine. */
  listen(tell: (agentId: string) => void): void {
    this.#tell = tell
  }

  /** @param onOutcome what the machine says became of it: `waiting` first, where it takes its time. @throws Error when it cannot lie here. */
  put(agentId: string, revocation: StoredRevocation, onOutcome: Ready['onOutcome']): void {
    if (isTooLong(revocation)) throw new Error('it is longer than what a machine fetches')
    const box = this.#boxes.get(agentId) ?? new Map<string, Ready>()
    const digest = digestOf(revocation)
    if (box.has(digest)) return
    if ([...box.values()].filter(({ isTaken }) => !isTaken).length >= MAX_READY)
      throw new Error('many notices are waiting that it has not fetched')
    this.#boxes.set(agentId, box)
    box.set(digest, { revocation, onOutcome, offers: 0, offerAt: 0, isTaken: false })
    this.#tell(agentId)
  }

  drop(agentId: string, revocation: StoredRevocation): void {
    const box = this.#boxes.get(agentId)
    box?.delete(digestOf(revocation))
    if (box?.size === 0) this.#boxes.delete(agentId)
  }

  /** What it gets now, the oldest first; it is not given again for a while. */
  offer(agentId: string): NoticeEnvelope[] {
    const now = this.#clock.monotonic()
    const given: NoticeEnvelope[] = []
    let room = MAX_BYTES
    for (const ready of this.#boxes.get(agentId)?.values() ?? []) {
      if (ready.isTaken || ready.offerAt > now) continue
      const envelope = envelopeOf(ready.revocation)
      room -= bytesOf(ready.revocation)
      if (given.length === MAX_GIVEN || (room < 0 && given.length > 0)) break
      ready.offerAt = now + Math.min(FIRST_AGAIN_MS * 2 ** ready.offers++, MAX_AGAIN_MS)
      given.push(envelope)
    }
    return given
  }

  /** Milliseconds until there is something to give; infinite when nothing lies ready. */
  untilOffer(agentId: string): number {
    const ready = [...(this.#boxes.get(agentId)?.values() ?? [])].filter(({ isTaken }) => !isTaken)
    return Math.max(0, Math.min(...ready.map(({ offerAt }) => offerAt)) - this.#clock.monotonic())
  }

  /** What is not here, because it was never for this machine or is done with, is passed over. */
  acknowledge(agentId: string, acknowledged: WaitRequest['acknowledged']): void {
    for (const { digest, outcome, reason } of acknowledged) {
      const ready = this.#boxes.get(agentId)?.get(digest)
      if (!ready || ready.offers === 0 || (ready.isTaken && outcome === 'waiting')) continue
      ready.isTaken = true
      if (outcome !== 'waiting') this.drop(agentId, ready.revocation)
      ready.onOutcome({ outcome, reason })
    }
  }
}

const digests = new WeakMap<StoredRevocation, string>()

/** Reckoned once for all machines. */
function digestOf(revocation: StoredRevocation): string {
  const known = digests.get(revocation) ?? createHash('sha256').update(revocation.text, 'utf8').digest('hex')
  digests.set(revocation, known)
  return known
}

const sizes = new WeakMap<StoredRevocation, number>()

/** Texts of a failed machine may be twice as long there. Reckoned once for all machines. */
function bytesOf(revocation: StoredRevocation): number {
  const known = sizes.get(revocation) ?? Buffer.byteLength(JSON.stringify(envelopeOf(revocation)))
  sizes.set(revocation, known)
  return known
}

const isTooLong = ({ text, signature, verifierSignature }: StoredRevocation): boolean =>
  text.length > MAX_TEXT || signature.length > MAX_SIGNATURE || verifierSignature.length > MAX_SIGNATURE
