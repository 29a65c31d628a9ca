import { setTimeout as sleep } from 'node:timers/promises'
import type { Submission } from '../../../core/api/push/attestation.ts'
import type { SessionExtensions } from '../../../core/api/push/session.ts'
import { type Asked, readAsked } from '../../../core/attestation/asked-evidence.ts'
import { beginCourse, nextStep, type PushCourse, type PushEvent, type PushPace } from '../../../core/attestation/push-course.ts'
import { isKeylimeError, KeylimeError } from '../../../core/errors.ts'
import type { Logger } from '../../../io/log/logger.ts'
import { randomBytes } from '../../../io/random.ts'
import { provePossession } from '../../../io/tpm/prove-possession.ts'
import type { ChangeWatch } from './change-watch.ts'
import { collectEvidence, type EvidenceSources, NOT_COLLECTED } from './collect-evidence.ts'
import type { NewsPause } from './news-pause.ts'
import { type FixedFacts, makeOffer } from './provable-facts.ts'
import type { PushDelivery } from './push-delivery.ts'
import type { PushReporter } from './push-news.ts'
import type { PushVerifier, Refused } from './push-verifier.ts'

export interface PushLoopOptions {
  readonly agentId: string
  readonly sources: EvidenceSources
  readonly facts: FixedFacts
  readonly pace: PushPace
  readonly reporter: PushReporter
  readonly delivery: PushDelivery
  /** How it waits where the verifier has news for it. */
  readonly news: NewsPause
  /** Sees what changes after it was proven; null when nothing is watched. */
  readonly watch: Pick<ChangeWatch, 'proving'> | null
  readonly logger: Logger
  /** Connects with what is believed now. */
  connect(): PushVerifier
}

/** Evidence that a verifier has asked for, until it is taken. */
interface Pending {
  readonly path: string
  readonly submission: Submission
  /** The transport key is in it. */
  readonly showsKey: boolean
  sent: boolean
}

/**
 * Brings evidence to the verifier, for ever: proves the key, negotiates, collects, submits, pauses. No answer and no failure ends it; `core/attestation/push-course.ts` says what follows
 * what, and that nothing runs hot.
 */
export class PushLoop {
  readonly #options: PushLoopOptions
  readonly #stopping = new AbortController()
  readonly #running: Promise<void>
  #pause = new AbortController()
  #canHurry = false
  #verifier: PushVerifier
  #next: PushVerifier | null = null
  #token = ''
  /** What this verifier can do beyond API 3.0: nothing but with ours. */
  #extensions: SessionExtensions = {}
  /** Why it shall attest before its time. */
  #early: string | null = null
  /** Attestations one after another that were early. */
  #earlyInRow = 0
  /** Monotonic milliseconds. */
  #begun = Number.NEGATIVE_INFINITY
  /** Until when what it does must have ended. */
  #due = Number.POSITIVE_INFINITY
  #pending: Pending | null = null

  constructor(options: PushLoopOptions) {
    this.#options = options
    this.#verifier = options.connect()
    this.#running = this.#run()
  }

  /** Connects anew from the next request on; at once when there is trouble. @throws KeylimeError when what is believed now cannot be used. */
  reconnect(): void {
    const before = this.#next
    this.#next = this.#options.connect()
    void before?.close()
    if (!this.#options.reporter.isAttesting) this.#pause.abort()
  }

  /**
   * Attests at once, at most once a second. Only where the verifier took the evidence before, and knows that machines may come early: nobody is pressed who cannot answer, or refuses.
   * @param why for the log.
   */
  hurry(why: string): void {
    if (!this.#isOurs) return
    this.#early = why
    if (this.#canHurry) this.#pause.abort()
  }

  /** A step that takes longer than any request, command of the TPM or pause may take; null while it goes on. */
  stuck(): string | null {
    return performance.now() > this.#due ? 'the attestation of this machine does not continue' : null
  }

  get #isOurs(): boolean {
    return Object.keys(this.#extensions).length > 0
  }

  /** What is under way at the verifier is cut; a command of the TPM is awaited. */
  async stop(): Promise<void> {
    this.#stopping.abort()
    this.#pause.abort()
    await this.#verifier.close()
    await this.#next?.close()
    await this.#running
  }

  async #run(): Promise<void> {
    const { pace } = this.#options
    let course: PushCourse = beginCourse(pace)
    while (!this.#stopping.signal.aborted) {
      this.#takeNext()
      this.#due = performance.now() + LONGEST_STEP_MS
      const event = await this.#do(course).catch((error: unknown) => this.#failed(error))
      if (this.#stopping.signal.aborted) return
      const step = nextStep(course, event, pace, randomBytes(4).readUInt32BE() / 2 ** 32)
      course = step.course
      if (step.pauseMs > 0) await this.#wait(step.pauseMs, event.kind === 'accepted')
    }
  }

  #takeNext(): void {
    if (!this.#next) return
    void this.#verifier.close()
    this.#verifier = this.#next
    this.#next = null
  }

  /** @param canHurry the verifier took the evidence before. */
  async #wait(milliseconds: number, canHurry: boolean): Promise<void> {
    this.#pause = new AbortController()
    if (this.#stopping.signal.aborted) return
    const { signal } = this.#pause
    this.#canHurry = canHurry
    const end = performance.now() + milliseconds
    this.#due = end + LONGEST_STEP_MS
    if (!canHurry || this.#early === null) {
      const { wait: longest } = this.#extensions
      const source = { verifier: this.#verifier, token: this.#token, signal }
      if (longest && this.#token !== '') this.#early = (await this.#options.news.pause(milliseconds, { ...source, longest })) ?? this.#early
      else await sleep(milliseconds, undefined, { signal }).catch(() => undefined)
    }
    this.#canHurry = false
    if (this.#early === null) {
      this.#earlyInRow = 0
      return
    }
    this.#options.logger.debug(`it attests at once: ${this.#early}`)
    const rest = Math.min(end, this.#begun + SHORTEST_EARLY_MS * Math.max(1, ++this.#earlyInRow - EARLY_AT_ONCE)) - performance.now()
    if (rest > 0) await sleep(rest, undefined, { signal: this.#stopping.signal }).catch(() => undefined)
  }

  #do({ task }: PushCourse): Promise<PushEvent> {
    if (task === 'session') return this.#prove()
    return task === 'submit' && this.#pending ? this.#submit(this.#pending) : this.#negotiate()
  }

  async #prove(): Promise<PushEvent> {
    const { agentId, sources, reporter } = this.#options
    this.#token = ''
    const opened = await this.#verifier.openSession()
    if (opened.kind === 'refused') return this.#refused(opened, 'a session')
    const proof = await provePossession(sources.keys, opened.challenge)
    const proved = await this.#verifier.prove(opened.session, proof)
    if (proved.kind === 'refused') return this.#refused(proved, 'the proof of the key')
    if (proved.token === null) {
      const hint = `enrol the machine: \`keylime tenant add -u ${agentId} --push-model\``
      reporter.tell({
        state: 'refused',
        text: 'the verifier does not know this machine by its attestation key: it is not enrolled there',
        hint,
      })
      return { kind: 'unproved', retryAfterMs: proved.retryAfterMs }
    }
    this.#token = proved.token
    this.#extensions = proved.extensions
    return { kind: 'proved' }
  }

  async #negotiate(): Promise<PushEvent> {
    const { facts, sources, logger } = this.#options
    this.#pending = null
    this.#begun = performance.now()
    await this.#options.watch?.proving()
    const isEarly = this.#early !== null && this.#isOurs
    const { offer, offered } = makeOffer(facts, sources.imaLog, { isEarly, delivers: this.#extensions.delivery === 1 })
    const opened = await this.#verifier.negotiate(offer, this.#token)
    if (opened.kind === 'refused') return this.#refused(opened, 'a new attestation')
    this.#early = null
    try {
      const asked = readAsked(opened.document, offered)
      if (asked.unknown.length > 0)
        logger.debug('the verifier also asks for something that this agent does not know', { types: asked.unknown })
      this.#pending = { path: opened.path, ...(await this.#collect(asked)), sent: false }
      return { kind: 'collected' }
    } catch (error) {
      this.#tellFailure(error)
      await this.#verifier.submit(opened.path, NOT_COLLECTED, this.#token).catch(() => undefined)
      return { kind: 'not-collected' }
    }
  }

  async #collect(asked: Asked): Promise<Pick<Pending, 'submission' | 'showsKey'>> {
    const { sources, delivery } = this.#options
    const item = asked.items.find(({ type }) => type === 'delivery')
    const said = item?.type === 'delivery' ? delivery.evidence(item, this.#token) : null
    const shown = this.#isOurs ? sources : { ...sources, systemdLog: null }
    return { submission: await collectEvidence(shown, asked, said), showsKey: said?.transport_key != null }
  }

  async #submit(pending: Pending): Promise<PushEvent> {
    const repeated = pending.sent
    pending.sent = true
    const reply = await this.#verifier.submit(pending.path, pending.submission, this.#token)
    // upstream keeps the first and answers its repetition so: the answer to the first was lost
    const wasTaken = reply.kind === 'refused' && (repeated || reply.repeated) && reply.code === 'evidence_immutable'
    if (reply.kind === 'refused' && !wasTaken) return this.#refused(reply, 'the evidence')
    this.#pending = null
    if (pending.showsKey) this.#options.delivery.submitted(pending.path, this.#token)
    const seconds = reply.kind === 'good' ? reply.seconds : null
    this.#options.reporter.tell({ state: 'attesting', text: 'the verifier accepts the evidence of this machine' })
    return { kind: 'accepted', seconds }
  }

  #refused(refusal: Refused, what: string): PushEvent {
    const { status, code, reason, retryAfterMs } = refusal
    const said = reason ? `: ${reason}` : ''
    const isBusy = status === 408 || status === 429 || status >= 500
    // a session that has ended is nothing to tell: another one is opened
    if (status !== 401 || what === 'the proof of the key' || what === 'a session')
      this.#options.reporter.tell({
        state: code === 'premature_attestation' ? 'waiting' : isBusy ? 'unreachable' : 'refused',
        text: `the verifier ${isBusy ? 'cannot take' : 'refuses'} ${what} of this machine (${status})${said}`,
      })
    return { kind: 'answered', status, code, retryAfterMs }
  }

  #failed(error: unknown): PushEvent {
    if (this.#stopping.signal.aborted) return { kind: 'lost' }
    this.#tellFailure(error)
    return { kind: isKeylimeError(error) && !LOST.has(error.code) ? 'not-collected' : 'lost' }
  }

  #tellFailure(error: unknown): void {
    const { reporter, logger } = this.#options
    const known = error instanceof KeylimeError ? error : null
    if (!known) logger.error('an attestation ended in an unforeseen way', { reason: (error as Error)?.stack ?? String(error) })
    const state = known && LOST.has(known.code) ? 'unreachable' : 'not-collected'
    const text = known?.message ?? `the evidence cannot be collected: ${(error as Error)?.message ?? String(error)}`
    reporter.tell({ state, text, ...(known?.hint ? { hint: known.hint } : {}) })
  }
}

/** Bodies of a hundred megabytes on slow lines, twice: each request ends by itself long before. */
const LONGEST_STEP_MS = 1_800_000
/** Between two attestations of which the second is early: whoever asks for many gets no more. */
const SHORTEST_EARLY_MS = 1000
/** And after so many of them the pauses grow, up to the verifier's own: a system that is being installed changes for an hour. */
const EARLY_AT_ONCE = 10

/** The verifier is not there, or another one is. */
const LOST: ReadonlySet<string> = new Set(['unreachable', 'timeout', 'tls_failed', 'malformed'])
