import type { NoticeOutcome } from '../../../core/api/notice.ts'
import type { Enrolment } from '../../../core/attestation/stored-agent.ts'
import { causeChain } from '../../../core/errors.ts'
import type { EventStream } from '../../../core/events/event-stream.ts'
import { cutText } from '../../../core/verdict/bounded-text.ts'
import type { Failure } from '../../../core/verdict/failure.ts'
import type { JudgedFailure } from '../../../core/verdict/severity.ts'
import type { Clock } from '../../../io/clock.ts'
import { ALL_AGENTS } from '../../../io/db/deferred-notices.ts'
import type { DeliveryResult, RevocationStore } from '../../../io/db/revocation-store.ts'
import type { NewRevocation, StoredRevocation } from '../../../io/db/revocation-tables.ts'
import type { Logger } from '../../../io/log/logger.ts'
import { createLoopShare } from '../../../io/loop-share.ts'
import { createScheduler, type Scheduler } from '../../../io/scheduler.ts'
import type { AgentTable } from '../agents/agent-table.ts'
import { collectSilence, type SilentMachines } from './collected-silence.ts'
import { createComplaints } from './complaints.ts'
import { createDeferredReceivers } from './deferred-receivers.ts'
import { createDeliveryLog, type Delivery } from './delivery-log.ts'
import { createFollowedNotices } from './followed-notices.ts'
import { createMachineQueues, retryAfter, type Turn } from './machine-queues.ts'
import type { NoticeOutbox } from './notice-outbox.ts'
import { createNoticeTaker } from './notice-taker.ts'
import type { NotifierKey } from './notifier-key.ts'
import { signedByOwn } from './own-signature.ts'
import { prepareNotice } from './prepare-notice.ts'
import { agentIdOf, isFor, keyOf } from './receiver.ts'
import { envelopeOf, introduceNotifier, type NoticeEnvelope, tellAgent } from './tell-agent.ts'

/** Tells others of an agent that failed (protocol 6). What is decided is stored with the verdict; from then on it is delivered, whatever happens. */
export interface RevocationNotifier {
  /** The signed message and whom to tell; null when nobody is configured to be told, and for a machine that fell silent with many others, which are told of together. */
  prepare(enrolment: Enrolment, type: NewRevocation['type'], failure: Failure | JudgedFailure): NewRevocation | null
  deliver(revocation: StoredRevocation): void
  /** Takes up what an earlier run left undone, when it can be read. Does not throw. */
  resume(): Promise<void>
  /** Takes up what is this verifier's to tell, where several share a database. */
  adopt(what: Adopted): Promise<void>
  stop(): Promise<void>
}

/** A revocation that another verifier stored, for machines that are attested here; or one or many machines that are from now on, and receivers that are no agents where nobody else tells them. */
export type Adopted = { revocation: number } | { agent: string } | { agents: ReadonlySet<string>; others: boolean }

/** Sends to one target that is no agent. @throws when it was not taken. */
export type Sender = (envelope: NoticeEnvelope) => Promise<void>

export interface RevocationNotifierOptions {
  agents: AgentTable
  /** Where notices lie for machines that nobody can call. */
  outbox: NoticeOutbox
  store: RevocationStore
  /** The verifier's own. */
  key: NotifierKey
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
  /** Whether this verifier attests an agent. */
  isOurs(agentId: string): boolean
  events: EventStream
  busy?: () => number // see `SchedulerOptions`
}

const RECORD_MS = 100
const TAKE_MORE_MS = 500
const RESUME_AGAIN_MS = 5000
const EXPAND_MS = 1000
/** Machines that are looked up at once. */
const PAGE = 500
/** Characters of what is stored of one receiver. */
const MAX_REASON = 500
/** A notice that lies ready is looked at again. */
const LOOK_AGAIN_MS = 30_000

export function createRevocationNotifier(options: RevocationNotifierOptions): RevocationNotifier {
  const { agents, outbox, clock, logger, busy = createLoopShare() } = options
  const complaints = createComplaints(logger)
  /**
   * Agents that hang keep the others waiting no longer than there is something else to do. Receivers that are no agents wait for no agents, nor does what an operator ordered for what failed by itself.
   */
  const lanes = { others: lane(), ordered: lane(), agents: lane() }
  const laneOf = ({ target, revocation: { isOrdered } }: Delivery) =>
    agentIdOf(target) === '' ? lanes.others : isOrdered ? lanes.ordered : lanes.agents
  /** Deliveries that were begun here, and of which it is not stored yet that they are done. */
  const begun = new Set<string>()
  const queues = createMachineQueues()
  const ownSigned = signedByOwn(options.key)

  const log = createDeliveryLog({ ...options, onDone: (key) => begun.delete(key), unsaid: new Set([OF_MANY, GONE]) })
  const deferred = createDeferredReceivers({ ...options, begin: beginAll })
  const followed = createFollowedNotices({ agents, outbox, clock, busy, onOutcome: noteOutcome })

  function lane(): Scheduler<Delivery> {
    return createScheduler<Delivery>({ clock, run, busy })
  }

  /** @returns whether it is held here from now on. */
  function begin(delivery: Delivery): boolean {
    const key = keyOf(delivery.revocation, delivery.target)
    if (begun.has(key) || delivery.target === ALL_AGENTS) return false
    const turn = agentIdOf(delivery.target) === '' ? 'now' : queues.enter(delivery)
    if (turn === 'stored') return false
    if (agentIdOf(delivery.target) !== '') delivery.revocation = ownSigned(delivery.revocation)
    begun.add(key)
    if (turn === 'now') laneOf(delivery).schedule(delivery, 0)
    return true
  }

  /** The next notice of a machine. */
  function go(turn: Turn | null): void {
    if (turn) laneOf(turn.delivery).schedule(turn.delivery, turn.afterMs)
  }

  async function run(delivery: Delivery): Promise<void> {
    const { revocation, target } = delivery
    const agentId = agentIdOf(target)
    if (!isFor(target, options.isOurs)) return letGo(delivery, agentId)
    if (agentId !== '' && isOfMany(revocation)) return withdraw(delivery, agentId)
    delivery.attempts++
    try {
      if (agents.get(agentId)?.connection === null) return layReady(delivery, agentId)
      outbox.drop(agentId, revocation) // it brought its evidence before
      const outcome = await send(revocation, target)
      complaints.told(target)
      noteOutcome(delivery, outcome)
      if (outcome?.outcome === 'waiting') followed.follow(delivery)
    } catch (error) {
      const reason = causeChain(error).join(': ').slice(0, MAX_REASON)
      complaints.failed(target, reason)
      const tooOld = isTooOld(revocation)
      const gone = agentId !== '' && !agents.get(agentId) && (await isGone(agentId))
      note(delivery, tooOld || gone ? 'given_up' : 'pending', gone ? GONE : reason)
      if (!tooOld && !gone) go(queues.failed(delivery))
    }
  }

  /** The first of many that fell silent were told of alone: whoever was not reached yet is spared it, like the rest (decision 150). */
  function withdraw(delivery: Delivery, agentId: string): void {
    outbox.drop(agentId, delivery.revocation)
    note(delivery, 'given_up', OF_MANY)
  }

  /** Another verifier tells it, or nobody, as it is not enrolled any more. */
  async function letGo(delivery: Delivery, agentId: string): Promise<void> {
    const { revocation, target } = delivery
    outbox.drop(agentId, revocation)
    if (await isGone(agentId)) return note(delivery, 'given_up', GONE)
    if (options.isOurs(agentId)) return laneOf(delivery).schedule(delivery, 0) // again, meanwhile
    for (const held of [delivery, ...queues.forget(target)]) begun.delete(keyOf(held.revocation, target))
  }

  /** Not where it cannot be known. */
  const isGone = async (agentId: string): Promise<boolean> => !(await options.isEnrolled(agentId).catch(() => true))
  const isOfMany = ({ type, createdAt }: StoredRevocation): boolean =>
    type === 'comm_error' && silence.isOfMany && clock.now() - createdAt < ONE_CAUSE_MS
  const isTooOld = ({ createdAt }: StoredRevocation): boolean => clock.now() - createdAt > options.retrySeconds * 1000

  /** It fetches it by itself. Looked at again now and then, until the time is over, or it is asked like others. @throws Error when it cannot lie there. */
  function layReady(delivery: Delivery, agentId: string): void {
    const { revocation, attempts } = delivery
    if (isTooOld(revocation)) {
      outbox.drop(agentId, revocation)
      note(delivery, 'given_up', NOT_FETCHED)
      return
    }
    outbox.put(agentId, revocation, (outcome) => fetched(delivery, outcome))
    if (attempts === 2) note(delivery, 'pending', NOT_FETCHED)
    const left = revocation.createdAt + options.retrySeconds * 1000 - clock.now()
    laneOf(delivery).schedule(delivery, Math.min(Math.max(left, retryAfter(1)), LOOK_AGAIN_MS))
    go(queues.leave(delivery))
  }

  function fetched(delivery: Delivery, outcome: NoticeOutcome): void {
    laneOf(delivery).cancel(delivery)
    followed.cancel(delivery)
    noteOutcome(delivery, outcome)
    if (outcome.outcome === 'waiting') followed.follow(delivery)
    const next = queues.current(delivery.target) // there is room for it now
    if (next) laneOf(next).schedule(next, 0)
  }

  async function send(revocation: StoredRevocation, target: string): Promise<NoticeOutcome | null> {
    const sender = options.senders.get(target)
    if (sender) {
      await sender(envelopeOf(revocation))
      return null
    }
    const agent = agents.get(agentIdOf(target))
    if (!agent) throw new Error('it is not attested by this verifier')
    await introduceNotifier(agent, options.key.certificate)
    return tellAgent(agent, revocation)
  }

  function noteOutcome(delivery: Delivery, outcome: NoticeOutcome | null): void {
    const word = outcome?.outcome ?? 'unknown'
    const isKnown = word !== 'waiting' && word !== 'unknown'
    note(delivery, isKnown ? word : 'told', isKnown && outcome?.reason != null ? cutText(outcome.reason, MAX_REASON) : null)
  }

  function note(delivery: Delivery, state: DeliveryResult['state'], lastError: string | null): void {
    log.note(delivery, state, lastError)
    if (state !== 'pending') go(queues.leave(delivery))
  }

  function beginAll(revocation: StoredRevocation): void {
    for (const target of revocation.targets) if (isFor(target, options.isOurs)) begin({ revocation, target, attempts: 0 })
  }

  function deliver(revocation: StoredRevocation): void {
    beginAll(revocation)
    if (revocation.targets.includes(ALL_AGENTS)) deferred.warn()
    const { id, agentId, type, targets } = revocation
    options.events.raise({ type: 'revocation_announced', agent_id: agentId, revocation: id, kind: type, targets: targets.length })
  }

  /** Many that fell silent for one cause: agents, which could do nothing about it, are not told. @returns whether it could be stored. */
  async function tellOfSilence({ count, enrolment, failure, agentIds }: SilentMachines): Promise<boolean> {
    const context = count > 1 ? { ...failure.context, machines: count, agent_ids: [...agentIds] } : failure.context
    const notice = prepareNotice(options, enrolment, { type: 'comm_error', failure: { ...failure, context }, toAgents: false })
    try {
      if (notice) deliver(await options.store.add(notice))
    } catch (error) {
      logger.error(`that ${count} machines fell silent cannot be told yet: ${causeChain(error).join(': ')}`)
      return false
    }
    if (count > 1) options.events.raise({ type: 'agents_unreachable', machines: count, agent_ids: [...agentIds] })
    return true
  }

  const silence = collectSilence(clock, tellOfSilence)
  const takeUp = createNoticeTaker({ ...options, log, queues, begin })
  const isMine = (target: string) => isFor(target, options.isOurs)

  async function resume(): Promise<void> {
    for (let hasFailed = false; ; hasFailed = true) {
      try {
        const count = await takeUp.all({}, (target) => isFor(target, options.isOurs, options.senders.has(target)))
        if (count > 0) logger.info(`${count} notifications of earlier revocations are still to be delivered`)
        return
      } catch (error) {
        if (!hasFailed) logger.error(`notifications of earlier revocations are delivered later: ${causeChain(error).join(': ')}`)
        await new Promise((resolve) => setTimeout(resolve, RESUME_AGAIN_MS).unref())
      }
    }
  }

  const timers = [
    setInterval(() => void log.flush(), RECORD_MS),
    setInterval(() => void takeUp.more(isMine), TAKE_MORE_MS),
    setInterval(() => void deferred.expand(), EXPAND_MS),
  ]

  return {
    prepare(enrolment, type, failure) {
      if (type === 'comm_error' && !silence.isSingle(enrolment, failure)) return null
      return prepareNotice(options, enrolment, { type, failure, toAgents: options.tellAgents })
    },
    deliver,
    resume,
    async adopt(what) {
      if ('revocation' in what) await takeUp.all(what, (target) => isFor(target, options.isOurs, false))
      else if ('agent' in what) await takeUp.all({ targets: [`agent:${what.agent}`] }, isMine)
      else {
        const ids = [...what.agents].filter(options.isOurs)
        for (let at = 0; at < ids.length; at += PAGE)
          await takeUp.all({ targets: ids.slice(at, at + PAGE).map((id) => `agent:${id}`) }, isMine)
        if (what.others && options.senders.size > 0) await takeUp.all({ targets: [...options.senders.keys()] }, () => true)
      }
    },
    async stop() {
      await silence.stop()
      for (const { stop } of [...Object.values(lanes), followed, takeUp]) stop()
      for (const timer of timers) clearInterval(timer)
      await log.flush()
    },
  }
}

const [GONE, NOT_FETCHED] = ['it is not enrolled any more', 'it brings its evidence by itself, and has not fetched it yet']
const ONE_CAUSE_MS = 5 * 60_000 // an older one has another cause
const OF_MANY = 'many machines fell silent at the same time'
