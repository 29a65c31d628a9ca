import type { DeliveryProgress } from '../../../core/api/agent-info.ts'
import type { DeliveryEvidence, DeliveryParameters, DeliveryReport } from '../../../core/api/push/delivery.ts'
import { causeChain, complaintOf, isKeylimeError, KeylimeError } from '../../../core/errors.ts'
import { authTag, challengeHmac, sameTag } from '../../../core/payload/auth-tag.ts'
import type { UserShare } from '../../../core/payload/key-shares.ts'
import { combineKey } from '../../../core/payload/split-key.ts'
import { decryptShare } from '../../../core/payload/transport.ts'
import type { Clock } from '../../../io/clock.ts'
import type { Logger } from '../../../io/log/logger.ts'
import type { TransportKey } from '../identity/transport-key.ts'
import type { PayloadReceiver } from '../payload/payload-receiver.ts'
import type { OpenedDelivery, SealedDeliveries } from '../payload/sealed-deliveries.ts'
import type { DeliveryClient } from './delivery-client.ts'
import { reportOf, reportWithoutKey } from './delivery-report.ts'

export interface PushDeliveryOptions {
  readonly agentId: string
  readonly sealed: SealedDeliveries
  readonly payloads: PayloadReceiver
  readonly transport: TransportKey
  readonly clock: Pick<Clock, 'monotonic'>
  readonly logger: Logger
  /** A connection of its own, with what is believed now. */
  connect(): DeliveryClient
  /** There is something to say: the next attestation shall be soon. */
  hurry(): void
}

type Stage =
  /** The mailbox is not here yet. */
  | { readonly at: 'empty' }
  /** U is here: V is wanted. */
  | { readonly at: 'open'; readonly opened: OpenedDelivery }
  /** K is here. */
  | { readonly at: 'joined'; readonly proof: string }
  /** A run of this agent before had it, and the mailbox is empty: only the end of the script is waited for. */
  | { readonly at: 'before' }
  | { readonly at: 'refused' | 'failed'; readonly why: string; readonly newest: number | null; readonly since: number }

interface Current extends DeliveryParameters {
  stage: Stage
}

/** What was refused, or failed, is looked at again after this time: a clock that was wrong, a file that was missing. It may be a hundred megabytes. */
const LOOK_AGAIN_MS = 600_000
/** A verifier holds the question for about 20 s each. */
const MAX_QUESTIONS = 6

/**
 * Payloads of a machine that nobody can call. The verifier says in an attestation that there is one; this fetches the mailbox, believes its order or not, and shows the transport key in the
 * attestations that follow, until the verdict over one of them brings V. What takes time runs beside the attestations, one thing at a time.
 */
export class PushDelivery {
  readonly #options: PushDeliveryOptions
  readonly #stopping = new AbortController()
  #current: Current | null = null
  #client: DeliveryClient | null = null
  #working: Promise<void> | null = null
  #told = ''

  constructor(options: PushDeliveryOptions) {
    this.#options = options
  }

  /** The item of evidence for what the verifier asks. Begins to fetch what is not here yet. */
  evidence(asked: DeliveryParameters, token: string): DeliveryEvidence {
    if (this.#current?.enrolment !== asked.enrolment || this.#current.generation !== asked.generation) this.#turnTo(asked)
    const current = this.#current!
    if (current.stage.at === 'empty' || this.#mayTryAgain(current.stage))
      this.#work(current, (client) => this.#fetch(client, current, token))
    const report = this.#report(current)
    this.#told = wordsOf(report)
    return { transport_key: current.stage.at === 'open' ? this.#options.transport.publicPem : null, report }
  }

  /** The verifier took evidence with the transport key: its verdict brings V. @param evidence path of the attestation. */
  submitted(evidence: string, token: string): void {
    const current = this.#current
    if (current?.stage.at === 'open') this.#work(current, (client) => this.#askForV(client, current, { evidence, token }))
  }

  /** For the receiver of payloads to tell. */
  progressed(_progress: DeliveryProgress): void {
    const current = this.#current
    if (current && isHere(current.stage) && wordsOf(this.#report(current)) !== this.#told) this.#options.hurry()
  }

  /** Who is believed may have changed: what was refused is looked at again. */
  reconsider(): void {
    if (this.#current?.stage.at === 'refused') this.#current.stage = { at: 'empty' }
  }

  async stop(): Promise<void> {
    this.#stopping.abort()
    await this.#client?.close()
    await this.#working
    this.#forget()
  }

  #report(current: Current): DeliveryReport {
    const { stage } = current
    if (stage.at === 'refused' || stage.at === 'failed')
      return { ...reportWithoutKey(current, stage.at, stage.why), ...(stage.newest === null ? {} : { newest: stage.newest }) }
    if (!isHere(stage)) return reportWithoutKey(current, 'waiting', null)
    return reportOf(current, this.#options.payloads.progress, stage.at === 'joined' ? stage.proof : null)
  }

  #turnTo({ enrolment, generation }: DeliveryParameters): void {
    this.#forget()
    void this.#client?.close()
    this.#current = { enrolment, generation, stage: { at: 'empty' } }
  }

  /** Overwrites U. */
  #forget(): void {
    if (this.#current?.stage.at === 'open') this.#current.stage.opened.user.share.fill(0)
    this.#current = null
  }

  #mayTryAgain(stage: Stage): boolean {
    const isOver = stage.at === 'refused' || stage.at === 'failed'
    return isOver && this.#options.clock.monotonic() - stage.since > LOOK_AGAIN_MS
  }

  #work(current: Current, work: (client: DeliveryClient) => Promise<void>): void {
    if (this.#working || this.#stopping.signal.aborted) return
    this.#working = this.#run(current, work).finally(() => {
      this.#working = null
    })
  }

  async #run(current: Current, work: (client: DeliveryClient) => Promise<void>): Promise<void> {
    const { connect, logger } = this.#options
    try {
      this.#client = connect()
      await work(this.#client)
    } catch (error) {
      if (this.#stopping.signal.aborted || current !== this.#current) return
      if (!isKeylimeError(error))
        logger.error('a delivery ended in an unforeseen way', { reason: (error as Error)?.stack ?? String(error) })
      else logger.warn(`no payload yet, it is tried again with the next attestation: ${complaintOf(error)}`)
    } finally {
      await this.#client?.close()
      this.#client = null
    }
  }

  async #fetch(client: DeliveryClient, current: Current, token: string): Promise<void> {
    const mailbox = await client.mailbox(token).catch((error) => {
      if (!isKeylimeError(error) || error.code !== 'payload_too_large') throw error
      return error // it would be too large each time
    })
    if (mailbox === null) return this.#recall(current)
    if (mailbox instanceof KeylimeError) return this.#end(current, 'refused', mailbox)
    try {
      const opened = await this.#options.sealed.open(mailbox)
      this.#take(current, opened)
    } catch (error) {
      if (!isKeylimeError(error) || error.code === 'tpm_failed' || error.code === 'file_failed') throw error
      this.#end(current, 'refused', error)
    }
  }

  /** What was replaced meanwhile is asked for by its own name soon. */
  #take(current: Current, opened: OpenedDelivery): void {
    const { order, user } = opened
    const { enrolment, generation } = order
    const isAsked = enrolment === current.enrolment && generation === current.generation
    if (!isAsked || current !== this.#current || this.#stopping.signal.aborted) return void user.share.fill(0)
    current.stage = { at: 'open', opened }
    this.#options.logger.info('a payload waits for this machine: the verifier gives its share of the key after the next good attestation', {
      orderedBy: order.operator,
      generation,
    })
    this.#options.hurry()
  }

  /** Nothing is in the mailbox any more. Perhaps a run before this one had it; and where that had not come to its end, the machine has lost it since. */
  #recall(current: Current): void {
    const { sealed, payloads, hurry } = this.#options
    const newest = sealed.newest()
    const isThis = newest?.enrolment === current.enrolment && newest.generation === current.generation
    if (!isThis || current !== this.#current) return
    if (payloads.delivered !== newest.digest) this.#end(current, 'failed', lost())
    else {
      current.stage = { at: 'before' }
      hurry()
    }
  }

  async #askForV(client: DeliveryClient, current: Current, { evidence, token }: { evidence: string; token: string }): Promise<void> {
    for (let questions = 0; questions < MAX_QUESTIONS && current === this.#current; questions++) {
      const { evaluation, encrypted_key: encrypted } = await client.release(evidence, token)
      if (evaluation !== 'pending') return encrypted === null ? undefined : this.#join(current, encrypted)
    }
  }

  #join(current: Current, encrypted: string): void {
    const { stage } = current
    if (current !== this.#current || stage.at !== 'open') return
    const { payloads, transport, agentId } = this.#options
    const { order, user } = stage.opened
    try {
      const v = decryptShare(transport.privateKey, encrypted)
      const proof = proofBy({ v, user, agentId, challenge: order.challenge })
      current.stage = { at: 'joined', proof }
      payloads.receive({ type: 'u', user })
      payloads.receive({ type: 'v', share: v })
    } catch (error) {
      if (!isKeylimeError(error)) throw error
      user.share.fill(0)
      this.#end(current, 'failed', error)
    }
  }

  #end(current: Current, at: 'refused' | 'failed', error: KeylimeError): void {
    const { logger, clock, hurry } = this.#options
    if (current !== this.#current) return
    const newest = error.details?.['newest']
    current.stage = { at, why: error.message, newest: typeof newest === 'number' ? newest : null, since: clock.monotonic() }
    logger.error(`the payload at the verifier is not accepted: ${causeChain(error).join(': ')}`, error.hint ? { hint: error.hint } : {})
    hurry()
  }
}

interface Fitting {
  readonly v: Buffer
  readonly user: UserShare
  readonly agentId: string
  readonly challenge: string
}

/** @throws KeylimeError `decryption_failed` when V is not the other half of U; it is overwritten then. */
function proofBy({ v, user, agentId, challenge }: Fitting): string {
  const k = v.length === user.share.length ? combineKey(user.share, v) : null
  try {
    if (k && sameTag(authTag(k, agentId), user.authTag)) return challengeHmac(k, challenge)
    v.fill(0)
    throw new KeylimeError('decryption_failed', 'the share of the key that the verifier gave is not the other half of this machine’s', {
      hint: 'deliver again with `keylime tenant update` and the payload; the verifier may have been tampered with',
    })
  } finally {
    k?.fill(0)
  }
}

const lost = () =>
  new KeylimeError('conflict', 'this machine has restarted since it got the payload, which was only in memory', {
    hint: 'deliver it again with `keylime tenant update`',
  })

const isHere = ({ at }: Stage): boolean => at === 'joined' || at === 'before'

const wordsOf = ({ state, script }: DeliveryReport): string => `${state} ${script}`
