import { setTimeout as sleep } from 'node:timers/promises'
import type { DeliveryReport } from '../../../core/api/push/delivery.ts'
import { type AgentEffect, type AgentEvent, type AgentTiming, isAskedOn, nextState } from '../../../core/attestation/agent-state.ts'
import { heard } from '../../../core/attestation/delivery.ts'
import { OPERATIONAL_STATE } from '../../../core/attestation/operational-state.ts'
import type { AgentProgress, StoredAgent, StoredDelivery, StoredState } from '../../../core/attestation/stored-agent.ts'
import { causeChain } from '../../../core/errors.ts'
import { attestationEvents } from '../../../core/events/attestation-events.ts'
import { reportEvents } from '../../../core/events/delivery-events.ts'
import type { EventStream } from '../../../core/events/event-stream.ts'
import type { VerifierEvent } from '../../../core/events/verifier-event.ts'
import type { FailedRound } from '../../../core/explanation/failed-round.ts'
import { isLeaseLost } from '../../../io/db/lease-store.ts'
import { isPassing } from '../../../io/db/postgres-errors.ts'
import type { StateChange, VerifierStore } from '../../../io/db/verifier-store.ts'
import type { Logger } from '../../../io/log/logger.ts'
import type { ManagedAgent } from '../agents/managed-agent.ts'
import type { RevocationNotifier } from '../revocation/revocation-notifier.ts'

/** What is stored together with the event's own outcome. */
export interface Along {
  changes?: Partial<StoredState>
  /** What was kept of a failed attestation. */
  failedRound?: FailedRound | null
  /** What the machine says of its delivery, in evidence that holds. */
  report?: DeliveryReport | null
  /** What an operator did, for the history; who takes the command raises it. */
  command?: VerifierEvent
}

/** The only place where an agent's state changes: decided by `nextState`, stored, and only then told and acted upon. */
export interface StateKeeper {
  /**
   * Durable when it returns. @returns what to do now; nothing when the agent was removed, or the operator said something else meanwhile.
   * @throws what the store throws: the state is then as it was.
   */
  apply(agent: ManagedAgent, event: AgentEvent, along?: Along): Promise<readonly AgentEffect[]>
  /** The same for an agent that is stored and could not be taken up, or is let go: nobody attests it. */
  applyStored(agent: StoredAgent, event: Extract<AgentEvent, { type: 'not_taken_up' | 'stopped' }>, command?: VerifierEvent): Promise<void>
}

export interface StateKeeperOptions {
  store: VerifierStore
  notifier: RevocationNotifier
  timing: AgentTiming
  events: EventStream
  logger: Logger
}

/** Between two tries while the database is away. */
const FIRST_WAIT_MS = 250
const MAX_WAIT_MS = 4000

export function createStateKeeper({ store, notifier, timing, events, logger }: StateKeeperOptions): StateKeeper {
  /** One change of state at a time for each agent: a round and a command of the operator never write over each other. */
  async function change(agent: ManagedAgent, event: AgentEvent, along: Along): Promise<readonly AgentEffect[]> {
    const before = agent.state
    const { state, effects } = nextState({ ...before, retries: agent.retries, trusted: isTrusted(agent) }, event, timing)
    const recorded = effects.find((effect) => effect.do === 'record')
    const after: StoredState = {
      ...before,
      ...along.changes,
      operational: state.operational,
      polled: isAskedOn(event, effects),
      announcedSeverity: state.announcedSeverity,
      ...(recorded ? { failures: recorded.failures } : {}),
    }
    const announce = effects.find((effect) => effect.do === 'announce')
    const revocation = announce ? notifier.prepare(agent.enrolment, announce.type, announce.failure) : null
    const { agentId } = agent.enrolment
    const delivery = deliveryAfter(agent.delivery, after, along.report ?? null)
    const told = [
      ...attestationEvents({ agentId, event, before, after }),
      ...(delivery?.report && agent.delivery ? reportEvents(agentId, agent.delivery, delivery.report) : []),
    ]
    const stored = await saveOnce(agent, along.command === undefined, {
      ...{ state: after, progress: agent.progress, revocation, failedRound: along.failedRound ?? null, delivery },
      events: [...told, ...(along.command ? [along.command] : [])],
    })
    agent.retries = state.retries
    agent.state = after
    agent.delivery = delivery ?? agent.delivery
    agent.unstored = null
    events.raise(...told)
    if ('reason' in event) logger.debug(`agent ${agentId}: ${event.type}: ${event.reason}`, { try: agent.retries })
    if (stored) notifier.deliver(stored)
    return effects
  }

  /**
   * A verdict is not lost while the database is away: it is stored when it is back, unless an operator says otherwise meanwhile. Until then nothing follows from it, and this agent waits.
   * An operator is told at once.
   */
  async function saveOnce(agent: ManagedAgent, mayWait: boolean, given: StateChange): ReturnType<VerifierStore['saveState']> {
    const { agentId } = agent.enrolment
    const { epoch } = agent
    for (let waitMs = FIRST_WAIT_MS; ; waitMs = Math.min(2 * waitMs, MAX_WAIT_MS)) {
      try {
        return await save(agentId, given)
      } catch (error) {
        if (!mayWait || !isPassing(error) || agent.removed || agent.epoch !== epoch) throw error
        if (waitMs === FIRST_WAIT_MS) logger.warn(`agent ${agentId}: its state is stored later: ${causeChain(error).join(': ')}`)
        await sleep(waitMs, undefined, { ref: false })
      }
    }
  }

  /** What is kept of a failure may be large: when it cannot be stored, the verdict is stored without it. */
  async function save(agentId: string, given: StateChange): ReturnType<VerifierStore['saveState']> {
    try {
      return await store.saveState(agentId, given)
    } catch (error) {
      if (!given.failedRound || isPassing(error) || isLeaseLost(error)) throw error
      logger.error(`agent ${agentId}: the evidence of its failure cannot be stored: ${causeChain(error).join(': ')}`)
      const { evidence } = given.failedRound
      return save(agentId, { ...given, failedRound: evidence ? { ...given.failedRound, evidence: null, cut: ['evidence'] } : null })
    }
  }

  return {
    async apply(agent, event, along = {}) {
      const { epoch } = agent
      const isStale = () => agent.removed || agent.epoch !== epoch
      const effects = await agent.changes.run(() => (isStale() || isStopped(agent, event) ? [] : change(agent, event, along)))
      return isStale() ? [] : effects
    },
    async applyStored({ enrolment: { agentId }, state: before, progress }, event, command) {
      const { state, effects } = nextState({ ...before, retries: 0, trusted: isTrusted({ state: before, progress }) }, event, timing)
      const recorded = effects.find((effect) => effect.do === 'record')
      const failures = recorded?.failures ?? before.failures
      const after = { ...before, operational: state.operational, polled: isAskedOn(event, effects), failures }
      const told: VerifierEvent[] =
        event.type === 'not_taken_up' ? [{ type: 'agent_not_taken_up', agent_id: agentId, reason: event.reason }] : []
      await store.saveState(agentId, {
        ...{ state: after, progress: progress as AgentProgress, revocation: null, failedRound: null },
        events: [...told, ...(command ? [command] : [])],
      })
      events.raise(...told)
    },
  }
}

/** What is known of a delivery after a change; undefined when that is what was known before. Its content is erased with V, in the same commit. */
function deliveryAfter(before: StoredDelivery | null, { vState }: StoredState, report: DeliveryReport | null): StoredDelivery | undefined {
  if (!before) return undefined
  const isKept = before.isKept && vState !== 'delivered' && vState !== 'none'
  const after = report ? heard(before, report) : before
  return isKept === before.isKept && after === before ? undefined : { ...after, isKept }
}

/**
 * An operator stopped it, and has not said otherwise. A machine that brings its evidence may do so while that is being stored: its round then has the epoch of the command, and must not
 * undo it.
 */
function isStopped({ state: { operational } }: ManagedAgent, { type }: AgentEvent): boolean {
  if (type === 'stopped' || type === 'reactivated') return false
  return operational === OPERATIONAL_STATE.TENANT_FAILED || operational === OPERATIONAL_STATE.TERMINATED
}

/** Whether others may rely on a machine. */
const isTrusted = ({ state, progress }: Pick<StoredAgent, 'state' | 'progress'>): boolean =>
  progress.attestationCount > 0 || state.vState === 'releasing' || state.vState === 'delivered'
