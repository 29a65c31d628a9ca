import type { AgentEffect } from '../../../core/attestation/agent-state.ts'
import { OPERATIONAL_STATE } from '../../../core/attestation/operational-state.ts'
import { prepareRelease, vIsDue } from '../../../core/attestation/release.ts'
import type { EvidenceVerdict } from '../../../core/attestation/verify-evidence.ts'
import { judge, type SeverityPolicy } from '../../../core/verdict/severity.ts'
import type { Clock } from '../../../io/clock.ts'
import type { ManagedAgent } from '../agents/managed-agent.ts'
import type { ProgressWriter } from '../agents/progress-writer.ts'
import { type EvidenceRules, type JudgedRound, keepFailedRound } from './keep-failed-round.ts'
import type { StateKeeper } from './state-keeper.ts'

export interface VerdictOptions {
  keeper: StateKeeper
  progress: ProgressWriter
  clock: Clock
  severity: SeverityPolicy
  /** Kept with the evidence of a failure, so that it can be judged again. */
  evidenceRules: EvidenceRules
  /** Seconds. */
  quoteInterval: number
}

/** Turns the verdict over one round into state: durable when it returns. @returns what to do now. */
export type ApplyVerdict = (agent: ManagedAgent, judged: JudgedRound) => Promise<readonly AgentEffect[]>

/** A machine that was rebooted is asked for its whole log almost at once. */
const AGAIN: readonly AgentEffect[] = [{ do: 'ask_quote', afterSeconds: 0.1, partial: false }]

export function createApplyVerdict(options: VerdictOptions): ApplyVerdict {
  const { keeper, progress, clock } = options
  const steady: readonly AgentEffect[] = [{ do: 'ask_quote', afterSeconds: options.quoteInterval, partial: true }]

  async function failed(agent: ManagedAgent, judged: JudgedRound, seconds: number): Promise<readonly AgentEffect[]> {
    const { verdict, known } = judged
    if (verdict.outcome !== 'failed') return []
    agent.progress = { ...agent.progress, lastReceivedQuote: seconds, ima: verdict.ima, imaJudgedBy: known.policy.imaJudgedBy }
    const judgement = judge(verdict.failures, options.severity)
    const { epoch } = agent
    const failedRound = await keepFailedRound(agent, { judged, judgement, rules: options.evidenceRules, clock })
    return agent.removed || agent.epoch !== epoch ? [] : keeper.apply(agent, { type: 'quote_failed', judgement }, { failedRound })
  }

  function passed(agent: ManagedAgent, verdict: Extract<EvidenceVerdict, { outcome: 'passed' }>): Promise<readonly AgentEffect[]> {
    const { state } = agent
    const { transportKey, algorithms } = verdict
    if (!vIsDue(state))
      return keeper.apply(agent, { type: 'quote_passed', vIsDue: false }, { changes: { transportKey, algorithms, failures: [] } })
    const release = prepareRelease(state, transportKey)
    if ('refused' in release) return keeper.apply(agent, { type: 'refused', stage: 'v', reason: release.refused })
    return keeper.apply(agent, { type: 'quote_passed', vIsDue: true }, { changes: { ...release.changes, algorithms, failures: [] } })
  }

  return async (agent, judged) => {
    const { verdict, known } = judged
    const seconds = Math.floor(clock.now() / 1000)
    agent.lastJudged = clock.monotonic()
    if (verdict.outcome === 'failed') return failed(agent, judged, seconds)
    const { clockInfo, ima } = verdict
    const { imaJudgedBy } = known.policy
    if (verdict.outcome === 'again') {
      agent.progress = { ...agent.progress, lastReceivedQuote: seconds, clockInfo, ima, imaJudgedBy }
      return AGAIN
    }
    const attestationCount = agent.progress.attestationCount + 1
    agent.progress = { attestationCount, lastReceivedQuote: seconds, lastSuccessfulAttestation: seconds, clockInfo, ima, imaJudgedBy }
    progress.mark(agent)
    return isSteady(agent, verdict.transportKey) ? steady : passed(agent, verdict) // in the steady state there is nothing to store but counters
  }
}

const isSteady = ({ state, retries, unstored }: ManagedAgent, transportKey: string): boolean =>
  state.operational === OPERATIONAL_STATE.GET_QUOTE &&
  state.transportKey === transportKey &&
  state.algorithms !== null &&
  state.failures.length === 0 &&
  retries === 0 &&
  unstored === null &&
  !vIsDue(state)
