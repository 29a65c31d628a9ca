import { createHash } from 'node:crypto'
import type { NoticeOutcome } from '../../../core/api/notice.ts'
import type { WaitRequest } from '../../../core/api/push/wait.ts'
import { isKeylimeError } from '../../../core/errors.ts'
import type { Logger } from '../../../io/log/logger.ts'
import type { ReceivedRevocation, RevocationInbox } from '../revocation/revocation-inbox.ts'
import type { HeardAuthorities } from './heard-authorities.ts'
import type { News, PushVerifier } from './push-verifier.ts'

/** What came of one long request. `lost`: it was cut, or the verifier cannot answer now. */
export type Fetched =
  | { readonly kind: 'news'; readonly attest: string | null; readonly count: number }
  | { readonly kind: 'unproved' }
  | { readonly kind: 'refused' }
  | { readonly kind: 'lost' }

export interface Waiting {
  readonly verifier: PushVerifier
  readonly token: string
  readonly seconds: number
  readonly signal: AbortSignal
}

interface Taken {
  /** Where the inbox says nothing of it. */
  readonly refused: NoticeOutcome | null
  /** What the verifier knows of it. */
  told: NoticeOutcome['outcome'] | null
  /** Monotonic milliseconds. */
  readonly since: number
}

/** Of one request (`core/api/push/wait.ts`). */
const MAX_TOLD = 64
/** Notices of which it is not known what became of them. More are left at the verifier. */
const MAX_TAKEN = 256
const TOO_LONG: NoticeOutcome = { outcome: 'refused', reason: 'it is too long' }

/** Fetches notices by long requests, gives them to the inbox, and tells the verifier what became of them: what the inbox does not take is told of again by the verifier. */
export class NewsFetcher {
  readonly #inbox: RevocationInbox
  readonly #authorities: Pick<HeardAuthorities, 'said' | 'hear'> | null
  readonly #logger: Logger
  readonly #taken = new Map<string, Taken>()
  /** SHA-256 of the notifier that the inbox was given in this run. */
  #notifier: string | null = null
  /** Told once. */
  #isFull = false

  /** @param authorities null where none is followed. */
  constructor(inbox: RevocationInbox, authorities: Pick<HeardAuthorities, 'said' | 'hear'> | null, logger: Logger) {
    this.#inbox = inbox
    this.#authorities = authorities
    this.#logger = logger
  }

  /** Waits for the answer. Never throws. */
  async fetch({ verifier, token, seconds, signal }: Waiting): Promise<Fetched> {
    const acknowledged = this.#outcomes()
    try {
      const held = Math.min(seconds, this.#patience())
      const authority = this.#authorities?.said
      const reply = await verifier.wait({ seconds: held, acknowledged, notifier: this.#notifier, authority }, token, signal)
      if (reply.kind === 'refused') {
        this.#logger.debug(`the verifier gives no news (${reply.status}): ${reply.reason}`)
        if (reply.status === 401) return { kind: 'unproved' }
        return reply.status === 408 || reply.status === 429 || reply.status >= 500 ? { kind: 'lost' } : { kind: 'refused' }
      }
      this.#note(acknowledged)
      if (reply.news.authority) await this.#authorities?.hear(reply.news.authority)
      const count = await this.#take(reply.news)
      return { kind: 'news', attest: reply.news.attest, count }
    } catch (error) {
      if (!signal.aborted) this.#logger.debug(`a request for news was cut: ${(error as Error).message}`)
      return { kind: 'lost' }
    }
  }

  /** Seconds until the verifier is told of an outcome that is not known yet: as long again, nearly, as it took so far. */
  #patience(): number {
    const now = performance.now()
    return Math.max(1, Math.min(...[...this.#taken.values()].map(({ since }) => (now - since) / 2000)))
  }

  #outcomes(): WaitRequest['acknowledged'] {
    const changed: WaitRequest['acknowledged'] = []
    for (const [digest, { refused, told }] of this.#taken) {
      const { outcome, reason } = refused ?? this.#inbox.outcomeOf(digest)
      if (outcome !== told && changed.length < MAX_TOLD) changed.push({ digest, outcome, reason })
    }
    return changed
  }

  /** The verifier has read them. */
  #note(acknowledged: WaitRequest['acknowledged']): void {
    for (const { digest, outcome } of acknowledged) {
      const taken = this.#taken.get(digest)
      if (taken) taken.told = outcome
      if (outcome !== 'waiting') this.#taken.delete(digest)
    }
  }

  /** @returns how much of it is new. */
  async #take({ notices, notifier }: News): Promise<number> {
    const isOther = notifier !== null && this.#notifier !== digestOf(notifier)
    if (isOther) await this.#introduce(notifier)
    let count = isOther ? 1 : 0
    for (const { msg, signature, verifier_signature: second } of notices)
      if (this.#accept({ msg, signature, ...(second ? { verifierSignature: second } : {}) })) count++
    return count
  }

  #accept(received: ReceivedRevocation): boolean {
    const digest = digestOf(received.msg)
    if (!this.#taken.has(digest) && this.#taken.size >= MAX_TAKEN) return false
    const acceptance = this.#inbox.accept(received)
    if (acceptance !== 'taken' && acceptance !== 'too_long') {
      this.#logger[this.#isFull ? 'debug' : 'warn']('a revocation cannot be accepted now, and stays at the verifier', {
        reason: acceptance,
      })
      this.#isFull = true
      return false
    }
    this.#isFull = false
    this.#taken.set(digest, { refused: acceptance === 'too_long' ? TOO_LONG : null, told: null, since: performance.now() })
    return true
  }

  /** One that is not taken is not asked for again: `revocation_cert` may name the only one that counts. */
  async #introduce(certificate: string): Promise<void> {
    try {
      await this.#inbox.introduce(certificate)
    } catch (error) {
      if (!isKeylimeError(error)) throw error
      this.#logger.debug(`the verifier’s notifier is not accepted: ${error.message}`)
    }
    this.#notifier = digestOf(certificate)
  }
}

const digestOf = (text: string): string => createHash('sha256').update(text, 'utf8').digest('hex')
