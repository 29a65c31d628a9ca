import { createPrivateKey, type KeyObject } from 'node:crypto'
import { readEnvelope, SHORT_ANSWER_BYTES } from '../../../core/api/envelope.ts'
import type { Enrolment } from '../../../core/attestation/stored-agent.ts'
import { createSerialQueue } from '../../../core/concurrency/serial-queue.ts'
import { causeChain } from '../../../core/errors.ts'
import type { EventStream } from '../../../core/events/event-stream.ts'
import { revocationMessage } from '../../../core/revocation/message.ts'
import { signRevocation } from '../../../core/revocation/signature.ts'
import type { Failure } from '../../../core/verdict/failure.ts'
import { DEFAULT_SEVERITY, type JudgedFailure, judge } from '../../../core/verdict/severity.ts'
import type { Clock } from '../../../io/clock.ts'
import type { DeliveryResult, NewRevocation, RevocationStore, StoredRevocation } from '../../../io/db/revocation-store.ts'
import type { Logger } from '../../../io/log/logger.ts'
import { createScheduler } from '../../../io/scheduler.ts'
import type { AgentTable } from '../agents/agent-table.ts'

/** Tells others of an agent that failed (protocol 6). What is decided is stored with the verdict; from then on it is delivered, whatever happens. */
export interface RevocationNotifier {
  /** The signed message and whom to tell; null when nobody is configured to be told. */
  prepare(enrolment: Enrolment, type: NewRevocation['type'], failure: Failure | JudgedFailure): NewRevocation | null
  deliver(revocation: StoredRevocation): void
  /** Takes up what an earlier run left undone. */
  resume(): Promise<void>
  stop(): Promise<void>
}

/** Sends to one target that is no agent. @throws when it was not taken. */
export type Sender = (envelope: { msg: string; signature: string }) => Promise<void>

export interface RevocationNotifierOptions {
  agents: AgentTable
  store: RevocationStore
  clock: Clock
  logger: Logger
  /** Tell agents by REST. */
  tellAgents: boolean
  /** By target name: webhook and ZeroMQ, when they are configured. */
  senders: ReadonlyMap<string, Sender>
  /** How long a target that cannot be reached is tried. */
  retrySeconds: number
  /** Whether the store has an agent: one that is deleted is told no more. */
  isEnrolled(agentId: string): Promise<boolean>
  events: EventStream
}

interface Delivery {
  revocation: StoredRevocation
  target: string
  attempts: number
}

type Told = DeliveryResult & { agentId: string }

const FIRST_RETRY_MS = 500
const MAX_RETRY_MS = 30_000
const RECORD_MS = 100

export function createRevocationNotifier(options: RevocationNotifierOptions): RevocationNotifier {
  const { agents, clock, logger } = options
  const results: Told[] = []
  const complaints = createComplaints(logger)
  const records = createSerialQueue()
  const scheduler = createScheduler<Delivery>({ clock, run })

  async function run(delivery: Delivery): Promise<void> {
    const { revocation, target } = delivery
    delivery.attempts++
    try {
      await send(revocation, target)
      complaints.told(target)
      note(delivery, 'told', null)
    } catch (error) {
      const reason = causeChain(error).join(': ').slice(0, 500)
      complaints.failed(target, reason)
      const tooOld = clock.now() - revocation.createdAt > options.retrySeconds * 1000
      const gone =
        target.startsWith('agent:') &&
        !agents.get(target.slice('agent:'.length)) &&
        !(await options.isEnrolled(target.slice('agent:'.length)))
      note(delivery, tooOld || gone ? 'given_up' : 'pending', reason)
      if (!tooOld && !gone) scheduler.schedule(delivery, Math.min(FIRST_RETRY_MS * 2 ** (delivery.attempts - 1), MAX_RETRY_MS))
    }
  }

  async function send({ text, signature }: StoredRevocation, target: string): Promise<void> {
    const envelope = { msg: text, signature }
    const sender = options.senders.get(target)
    if (sender) return sender(envelope)
    const agent = agents.get(target.replace(/^agent:/, ''))
    if (!agent) throw new Error('it is not attested by this verifier')
    const path = `/v${agent.state.supportedVersion}/notifications/revocation`
    const answer = await agent.connection.request({ method: 'POST', path, body: envelope, maxBytes: SHORT_ANSWER_BYTES })
    const { code, status } = readEnvelope(answer)
    if (code !== 200) throw new Error(`it answered ${code} ${status}`.trim())
  }

  function note({ revocation, target, attempts }: Delivery, state: DeliveryResult['state'], lastError: string | null): void {
    results.push({ revocationId: revocation.id, agentId: revocation.agentId, target, state, attempts, at: clock.now(), lastError })
  }

  async function record(): Promise<void> {
    const batch = results.splice(0)
    if (batch.length === 0) return
    try {
      await options.store.record(batch)
      for (const result of batch) tell(result)
    } catch (error) {
      results.unshift(...batch)
      logger.error(`who was told cannot be stored: ${causeChain(error).join(': ')}`)
    }
  }

  function tell({ revocationId, agentId, target, state, lastError }: Told): void {
    const delivery = { agent_id: agentId, revocation: revocationId, target }
    if (state === 'told') options.events.raise({ type: 'revocation_told', ...delivery })
    if (state === 'given_up') options.events.raise({ type: 'revocation_given_up', ...delivery, reason: lastError ?? '' })
  }

  const flush = () => records.run(record)
  const timer = setInterval(flush, RECORD_MS)

  return {
    prepare(enrolment, type, failure) {
      const targets = [...options.senders.keys()]
      if (targets.length === 0 && !options.tellAgents) return null
      const text = messageOf(enrolment, type, failure, new Date(clock.now()))
      const signature = signatureOf(enrolment, text, logger)
      return { agentId: enrolment.agentId, type, text, signature, createdAt: clock.now(), targets, toAgents: options.tellAgents }
    },
    deliver(revocation) {
      for (const target of revocation.targets) scheduler.schedule({ revocation, target, attempts: 0 }, 0)
      const { id, agentId, type, targets } = revocation
      options.events.raise({ type: 'revocation_announced', agent_id: agentId, revocation: id, kind: type, targets: targets.length })
    },
    async resume() {
      const undone = await options.store.pending()
      for (const delivery of undone) scheduler.schedule({ ...delivery }, 0)
      if (undone.length > 0) logger.info(`${undone.length} notifications of earlier revocations are still to be delivered`)
    },
    async stop() {
      scheduler.stop()
      clearInterval(timer)
      await flush()
    },
  }
}

/** Receivers that are no agents, and cannot be told: the first failure and each other one is a warning, and so is the end of it. */
function createComplaints(logger: Logger) {
  const failing = new Map<string, string>()
  return {
    failed(target: string, reason: string) {
      if (target.startsWith('agent:') || failing.get(target) === reason) return
      failing.set(target, reason)
      logger.warn(`${target} cannot be told of a revocation, and is tried again: ${reason}`)
    },
    told(target: string) {
      if (failing.delete(target)) logger.info(`${target} can be told of revocations again`)
    },
  }
}

function messageOf(enrolment: Enrolment, type: NewRevocation['type'], failure: Failure | JudgedFailure, eventTime: Date): string {
  const severityLabel = 'severityLabel' in failure ? failure.severityLabel : judge([failure], DEFAULT_SEVERITY).worst.severityLabel
  return revocationMessage({
    type,
    ip: enrolment.ip,
    agentId: enrolment.agentId,
    port: enrolment.port,
    tpmPolicy: enrolment.tpmPolicy,
    metaData: enrolment.metaData,
    eventTime,
    eventId: failure.eventId,
    severityLabel,
    context: JSON.stringify(failure.context),
  })
}

/** Empty without a key: receivers do not act upon it. A key that cannot be used must not keep the failure itself from being stored. */
function signatureOf(enrolment: Enrolment, text: string, logger: Logger): string {
  if (enrolment.revocationKey === '') return ''
  try {
    const key: KeyObject = createPrivateKey(enrolment.revocationKey)
    return signRevocation(key, text)
  } catch (error) {
    logger.error(`agent ${enrolment.agentId}: its revocation cannot be signed: ${(error as Error).message}`)
    return ''
  }
}
