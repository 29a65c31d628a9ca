import type { DeliveryReport } from '../../../core/api/push/delivery.ts'
import type { AgentEffect } from '../../../core/attestation/agent-state.ts'
import { heard, provesKey } from '../../../core/attestation/delivery.ts'
import { OPERATIONAL_STATE } from '../../../core/attestation/operational-state.ts'
import { CONFIRMED, fingerprint, prepareRelease, vIsDue } from '../../../core/attestation/release.ts'
import type { EvidenceVerdict } from '../../../core/attestation/verify-evidence.ts'
import type { NowOrLater } from '../../../core/concurrency/now-or-later.ts'
import { TokenBucket } from '../../../core/concurrency/token-bucket.ts'
import type { Failure } from '../../../core/verdict/failure.ts'
import { judge, type SeverityPolicy } from '../../../core/verdict/severity.ts'
import type { Clock } from '../../../io/clock.ts'
import type { ManagedAgent } from '../agents/managed-agent.ts'
import type { ProgressWriter } from '../agents/progress-writer.ts'
import { failedRound, type RoundVerdict } from './keep-failed-round.ts'
import type { StateKeeper } from './state-keeper.ts'

export interface VerdictOptions {
  keeper: StateKeeper
  progress: ProgressWriter
  clock: Clock
  severity: SeverityPolicy
  /** `measured_boot_policy_name`, kept with the story of a failure so that it can be judged again. */
  bootPolicy: string
  /** Seconds. */
  quoteInterval: number
}

/** Turns the verdict over one round into state: durable when it returns. @returns what to do now. */
export type ApplyVerdict = (agent: ManagedAgent, round: RoundVerdict) => NowOrLater<readonly AgentEffect[]>

/** A machine that was rebooted is asked for its whole log almost at once. */
const AGAIN: readonly AgentEffect[] = [{ do: 'ask_quote', afterSeconds: 0.1, partial: false }]
const OFFER_AGAIN: readonly AgentEffect[] = [{ do: 'deliver_v' }]
/** New words of one machine on its delivery, each of which is stored and may be in the audit log. Who is honest has some four. */
const WORDS = { perSecond: 1 / 60, burst: 20 }

export function createApplyVerdict(options: VerdictOptions): ApplyVerdict {
  const { keeper, progress, clock } = options
  const steady: readonly AgentEffect[] = [{ do: 'ask_quote', afterSeconds: options.quoteInterval, partial: true }]
  const words = new WeakMap<ManagedAgent, TokenBucket>()

  /** What is new in what a machine says of its delivery; null when nothing is, or it said too much of late. */
  function wordOf(agent: ManagedAgent, report: DeliveryReport | null): DeliveryReport | null {
    if (!report || !agent.delivery) return null
    if (confirmsV(agent, report)) return report
    if (heard(agent.delivery, report) === agent.delivery) return null
    const bucket = words.get(agent) ?? new TokenBucket(WORDS)
    words.set(agent, bucket)
    return bucket.take(clock.monotonic()) === 0 ? report : null
  }

  function failed(agent: ManagedAgent, round: RoundVerdict, failures: readonly Failure[]): Promise<readonly AgentEffect[]> {
    const judgement = judge(failures, options.severity)
    return keeper.apply(agent, { type: 'quote_failed', judgement }, { failedRound: failedRound(agent, round, judgement, options) })
  }

  async function passed(agent: ManagedAgent, verdict: Passed, report: DeliveryReport | null): Promise<readonly AgentEffect[]> {
    const { state } = agent
    const { transportKey, algorithms } = verdict
    const confirms = report !== null && confirmsV(agent, report)
    if (transportKey === null || !vIsDue(state) || confirms) {
      const changes = { transportKey, algorithms, failures: [] }
      const effects = await keeper.apply(agent, { type: 'quote_passed', vIsDue: false }, { changes, ...(confirms ? {} : { report }) })
      return confirms ? keeper.apply(agent, { type: 'v_delivered' }, { changes: CONFIRMED, report }) : effects
    }
    const release = prepareRelease(state, transportKey)
    if ('refused' in release) return keeper.apply(agent, { type: 'refused', stage: 'v', reason: release.refused })
    return keeper.apply(
      agent,
      { type: 'quote_passed', vIsDue: true },
      { changes: { ...release.changes, algorithms, failures: [] }, report },
    )
  }

  return (agent, round) => {
    const { verdict } = round.judged
    const { imaJudgedBy } = round.policy
    const seconds = Math.floor(clock.now() / 1000)
    agent.lastJudged = clock.monotonic()
    if (verdict.outcome === 'failed') {
      agent.progress = { ...agent.progress, lastReceivedQuote: seconds, ima: verdict.ima, imaJudgedBy }
      return failed(agent, round, verdict.failures)
    }
    const { clockInfo, ima } = verdict
    if (verdict.outcome === 'again') {
      agent.progress = { ...agent.progress, lastReceivedQuote: seconds, clockInfo, ima, imaJudgedBy }
      return AGAIN
    }
    const attestationCount = agent.progress.attestationCount + 1
    agent.progress = { attestationCount, lastReceivedQuote: seconds, lastSuccessfulAttestation: seconds, clockInfo, ima, imaJudgedBy }
    progress.mark(agent)
    const report = wordOf(agent, round.judged.report ?? null)
    if (report !== null) return passed(agent, verdict, report)
    // in the steady state there is nothing to store but counters
    if (isSteady(agent, verdict.transportKey)) return steady
    if (isOffered(agent, verdict.transportKey)) return verdict.transportKey === null ? steady : OFFER_AGAIN
    return passed(agent, verdict, report)
  }
}

type Passed = Extract<EvidenceVerdict, { outcome: 'passed' }>

/** V was released, and the machine shows that it has joined it with U: of this very delivery. */
const confirmsV = ({ state, delivery }: ManagedAgent, report: DeliveryReport): boolean =>
  state.vState === 'releasing' && provesKey(report) && delivery?.enrolment === report.enrolment && delivery.generation === report.generation

const isSteady = ({ connection, state, retries, unstored }: ManagedAgent, transportKey: string | null): boolean =>
  state.operational === OPERATIONAL_STATE.GET_QUOTE &&
  (connection === null || state.transportKey === transportKey) &&
  state.algorithms !== null &&
  state.failures.length === 0 &&
  retries === 0 &&
  unstored === null &&
  (transportKey === null || !vIsDue(state))

/** A machine that fetches V has been told that it may, by the key of this quote or none, and has not done so: as often as it passes, that is nothing new. */
const isOffered = ({ connection, state, unstored }: ManagedAgent, transportKey: string | null): boolean =>
  connection === null &&
  state.operational === OPERATIONAL_STATE.PROVIDE_V &&
  state.vState === 'releasing' &&
  (transportKey === null || state.vReleasedTo === fingerprint(transportKey)) &&
  state.failures.length === 0 &&
  unstored === null
