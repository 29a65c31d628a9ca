import { type AgentEffect, type AgentEvent, type AgentTiming, nextState } from '../../../core/attestation/agent-state.ts'
import { OPERATIONAL_STATE } from '../../../core/attestation/operational-state.ts'
import type { StoredState } from '../../../core/attestation/stored-agent.ts'
import type { EvidenceVerdict } from '../../../core/attestation/verify-evidence.ts'
import { causeChain } from '../../../core/errors.ts'
import type { FailedRound } from '../../../core/explanation/failed-round.ts'
import { judge, type SeverityPolicy } from '../../../core/verdict/severity.ts'
import type { Clock } from '../../../io/clock.ts'
import type { StateChange, VerifierStore } from '../../../io/db/verifier-store.ts'
import type { Logger } from '../../../io/log/logger.ts'
import { createScheduler } from '../../../io/scheduler.ts'
import type { AgentTable } from '../agents/agent-table.ts'
import type { ManagedAgent } from '../agents/managed-agent.ts'
import { createProgressWriter } from '../agents/progress-writer.ts'
import { CONFIRMED, prepareRelease, sendV, vIsDue } from '../release/release-v.ts'
import type { RevocationNotifier } from '../revocation/revocation-notifier.ts'
import { attestationRound, type JudgedRound } from './attestation-round.ts'
import { type EvidenceRules, keepFailedRound } from './keep-failed-round.ts'
import { logFailures } from './log-failures.ts'

export interface LoopOptions {
  agents: AgentTable
  store: VerifierStore
  clock: Clock
  logger: Logger
  timing: AgentTiming
  severity: SeverityPolicy
  evaluateBootAlways: boolean
  /** Kept with the evidence of a failure, so that it can be judged again. */
  evidenceRules: EvidenceRules
  notifier: RevocationNotifier
}

/** Attests every agent again and again. The only place where an agent's state changes. */
export interface AttestationLoop {
  /** Takes up an agent whose state is polled. @param afterMs spreads the first requests of many. */
  begin(agent: ManagedAgent, afterMs: number): Promise<void>
  /** A command of the operator; durable when it returns. */
  command(agent: ManagedAgent, event: Extract<AgentEvent, { type: 'stopped' | 'reactivated' }>): Promise<void>
  /** Lets go of an agent that is being deleted. */
  forget(agent: ManagedAgent): void
  stop(): Promise<void>
}

const MIN_AGAIN_SECONDS = 0.1
const UNSTORED_SECONDS = 2

export function createAttestationLoop(options: LoopOptions): AttestationLoop {
  const { store, clock, logger, timing } = options
  const progress = createProgressWriter(store, logger)
  const scheduler = createScheduler<ManagedAgent>({ clock, run: runRound })
  let stopping = false

  /** One round. Whatever goes wrong in here is a failed round: fail closed (invariant 4). */
  async function runRound(agent: ManagedAgent): Promise<void> {
    if (agent.removed || agent.busy || stopping) return
    const epoch = agent.epoch
    agent.busy = true
    try {
      const result = await attestationRound(agent, options.evaluateBootAlways)
      if (agent.removed || agent.epoch !== epoch) return
      if (result.supportedVersion) agent.state = { ...agent.state, supportedVersion: result.supportedVersion }
      if (result.judged) await applyVerdict(agent, result.judged)
      if (result.event) await transition(agent, result.event)
    } catch (error) {
      logger.error(`agent ${agent.enrolment.agentId}: the round failed`, { stack: error instanceof Error ? error.stack : String(error) })
      if (!agent.removed && agent.epoch === epoch) await failClosed(agent, error)
    } finally {
      agent.busy = false
      const due = agent.dueMs
      agent.dueMs = null
      if (due !== null && !agent.removed && !stopping) scheduler.schedule(agent, due)
    }
  }

  async function applyVerdict(agent: ManagedAgent, judged: JudgedRound): Promise<void> {
    const { verdict } = judged
    const seconds = Math.floor(clock.now() / 1000)
    agent.lastJudged = clock.monotonic()
    if (verdict.outcome === 'failed') {
      agent.progress = { ...agent.progress, lastReceivedQuote: seconds, ima: verdict.ima }
      const judgement = judge(verdict.failures, options.severity)
      const epoch = agent.epoch
      const failedRound = await keepFailedRound(agent, { judged, judgement, rules: options.evidenceRules, clock })
      if (agent.removed || agent.epoch !== epoch) return
      return transition(agent, { type: 'quote_failed', judgement }, {}, failedRound)
    }
    if (verdict.outcome === 'again') {
      agent.progress = { ...agent.progress, lastReceivedQuote: seconds, clockInfo: verdict.clockInfo, ima: verdict.ima }
      return schedule(agent, MIN_AGAIN_SECONDS, false)
    }
    const attestationCount = agent.progress.attestationCount + 1
    agent.progress = {
      attestationCount,
      lastReceivedQuote: seconds,
      lastSuccessfulAttestation: seconds,
      clockInfo: verdict.clockInfo,
      ima: verdict.ima,
    }
    progress.mark(agent)
    const same = agent.state.transportKey === verdict.transportKey && agent.state.algorithms !== null && agent.state.failures.length === 0
    if (same && agent.state.operational === OPERATIONAL_STATE.GET_QUOTE && agent.retries === 0 && !vIsDue(agent.state))
      return schedule(agent, timing.quoteInterval, true) // the steady state: nothing to store but counters
    if (vIsDue(agent.state)) return releaseV(agent, verdict)
    return transition(
      agent,
      { type: 'quote_passed', vIsDue: false },
      { transportKey: verdict.transportKey, algorithms: verdict.algorithms, failures: [] },
    )
  }

  async function releaseV(agent: ManagedAgent, verdict: Extract<EvidenceVerdict, { outcome: 'passed' }>): Promise<void> {
    const prepared = prepareRelease(agent.state, verdict.transportKey)
    if ('refused' in prepared) return transition(agent, { type: 'refused', stage: 'v', reason: prepared.refused })
    await transition(agent, { type: 'quote_passed', vIsDue: true }, { ...prepared.changes, algorithms: verdict.algorithms, failures: [] })
  }

  /** Stores the new state, then performs the effects: never the other way round. */
  async function transition(
    agent: ManagedAgent,
    event: AgentEvent,
    changes: Partial<StoredState> = {},
    failedRound: FailedRound | null = null,
  ): Promise<void> {
    const epoch = agent.epoch
    const turn = agent.turn.then(() => (agent.removed || agent.epoch !== epoch ? [] : storeTransition(agent, event, changes, failedRound)))
    agent.turn = turn.catch(() => {})
    const effects = await turn
    if (agent.removed || agent.epoch !== epoch) return // the operator said something else meanwhile
    for (const effect of effects) await perform(agent, effect)
  }

  /** One change of state at a time for each agent: a round and a command of the operator never write over each other. */
  async function storeTransition(
    agent: ManagedAgent,
    event: AgentEvent,
    changes: Partial<StoredState>,
    failedRound: FailedRound | null,
  ): Promise<AgentEffect[]> {
    const before = { operational: agent.state.operational, retries: agent.retries, announcedSeverity: agent.state.announcedSeverity }
    const { state, effects } = nextState(before, event, timing)
    const recorded = effects.find((effect) => effect.do === 'record')
    const next: StoredState = {
      ...agent.state,
      ...changes,
      operational: state.operational,
      announcedSeverity: state.announcedSeverity,
      ...(recorded ? { failures: recorded.failures } : {}),
    }
    const announce = effects.find((effect) => effect.do === 'announce')
    const revocation = announce ? options.notifier.prepare(agent, announce.type, announce.failure) : null
    const stored = await save(agent, { state: next, progress: agent.progress, revocation, failedRound })
    agent.retries = state.retries
    agent.state = next
    report(agent, event, before.operational)
    if (stored) options.notifier.deliver(stored)
    return effects
  }

  /** What is kept of a failure may be large: when it cannot be stored, the verdict is stored without it. */
  async function save(agent: ManagedAgent, change: StateChange): ReturnType<VerifierStore['saveState']> {
    const { agentId } = agent.enrolment
    try {
      return await store.saveState(agentId, change)
    } catch (error) {
      if (!change.failedRound) throw error
      logger.error(`agent ${agentId}: the evidence of its failure cannot be stored: ${causeChain(error).join(': ')}`)
      const { evidence } = change.failedRound
      return save(agent, { ...change, failedRound: evidence ? { ...change.failedRound, evidence: null, cut: ['evidence'] } : null })
    }
  }

  async function perform(agent: ManagedAgent, effect: AgentEffect): Promise<void> {
    switch (effect.do) {
      case 'ask_quote':
        return schedule(agent, effect.afterSeconds, effect.partial)
      case 'announce':
      case 'record':
        return // stored with the state itself
      case 'deliver_v': {
        const epoch = agent.epoch
        const event = await sendV(agent)
        if (agent.removed || agent.epoch !== epoch) return
        return transition(agent, event, event.type === 'v_delivered' ? CONFIRMED : {})
      }
    }
  }

  function schedule(agent: ManagedAgent, afterSeconds: number, partial: boolean): void {
    agent.partial = partial
    if (agent.busy)
      agent.dueMs = afterSeconds * 1000 // when this round has ended: one at a time for each agent
    else if (!agent.removed && !stopping) scheduler.schedule(agent, afterSeconds * 1000)
  }

  function report(agent: ManagedAgent, event: AgentEvent, before: number): void {
    const id = agent.enrolment.agentId
    if (event.type === 'quote_failed') logFailures(logger, id, event.judgement.failures)
    else if (event.type === 'v_delivered') logger.info(`agent ${id} is attested, V was released to it`)
    else if (event.type === 'quote_passed' && before !== OPERATIONAL_STATE.GET_QUOTE) logger.info(`agent ${id} is attested`)
    else if ('reason' in event) logger.warn(`agent ${id}: ${event.type}: ${event.reason}`, { try: agent.retries })
  }

  /**
   * A bug or a disk that cannot be written: the agent is not trusted, and the others go on. When not even that can be stored, the agent is judged
   * again later: a machine that failed must not stay unannounced because the disk was full.
   */
  async function failClosed(agent: ManagedAgent, error: unknown): Promise<void> {
    try {
      await transition(agent, { type: 'exception', reason: causeChain(error).join(': ') })
    } catch (second) {
      logger.error(`agent ${agent.enrolment.agentId}: its failure cannot be stored: ${causeChain(second).join(': ')}`)
      agent.state = { ...agent.state, operational: OPERATIONAL_STATE.FAILED }
      schedule(agent, UNSTORED_SECONDS, false)
    }
  }

  return {
    async begin(agent, afterMs) {
      agent.lastJudged = clock.monotonic()
      agent.partial = false
      agent.state = { ...agent.state, operational: OPERATIONAL_STATE.START }
      agent.retries = 0
      scheduler.schedule(agent, afterMs)
    },
    async command(agent, event) {
      agent.epoch++
      agent.dueMs = null
      scheduler.cancel(agent)
      await transition(agent, event, event.type === 'reactivated' ? { failures: [] } : {})
    },
    forget(agent) {
      agent.removed = true
      agent.epoch++
      scheduler.cancel(agent)
      agent.connection.close()
    },
    async stop() {
      stopping = true
      scheduler.stop()
      await progress.stop()
    },
  }
}
