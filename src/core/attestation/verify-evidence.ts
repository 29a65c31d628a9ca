import type { Effort } from '../concurrency/effort.ts'
import type { Evidence, ImaLog } from '../evidence/evidence.ts'
import { readEvidenceV2 } from '../evidence/read-evidence-v2.ts'
import { FRESH_IMA, type ImaPolicy, type ImaProgress } from '../ima/ima-policy.ts'
import type { BootPolicy } from '../measured-boot/boot-evidence.ts'
import { type AgentPolicy, quotedPcrs } from '../policy/agent-policy.ts'
import { judgeStaticPcrs } from '../policy/tpm-policy.ts'
import type { VerifiedPcrs } from '../quote/verify-quote.ts'
import type { HashName } from '../tpm/algorithms.ts'
import type { ClockInfo } from '../tpm/attest.ts'
import { IMA_PCR } from '../tpm/pcr-selection.ts'
import type { PublicArea } from '../tpm/public-area.ts'
import { type Failure, failure, irrecoverable } from '../verdict/failure.ts'
import type { AcceptedAlgorithms } from './accepted-algorithms.ts'
import { genuineQuote } from './genuine-quote.ts'
import { judgeDataPcr } from './judge-data-pcr.ts'

/** What the verifier knows of an agent before this round. */
export interface KnownAgent {
  ak: PublicArea
  /** Transport key of an earlier good quote. */
  transportKey: string | null
  accepted: AcceptedAlgorithms
  policy: AgentPolicy
  /** Clock of the last good quote. */
  clockInfo: ClockInfo | null
  ima: ImaProgress
  attestationCount: number
}

/** The request that evidence answers. */
export interface EvidenceRequest {
  /** Of this request, never used before. */
  nonce: string
  /** `measured_boot_evaluate`: compare the reference state at every round, or only before the first good one. */
  evaluateBootAlways: boolean
  /** Of an API whose quotes need bind no transport key: where the evidence brings none, PCR 16 is asked for and says nothing, and nothing is ever released to such a quote. */
  unbound?: boolean | undefined
  /** PCRs that were asked for, ascending, where they are not those of the policy: evidence of another time that is judged by another policy. */
  pcrs?: readonly number[] | undefined
  /** Where others wait: the judgement throws `TooMuchEffort` when it becomes too much. */
  effort?: Effort | undefined
}

/** A request and what came back. */
export interface EvidenceRound extends EvidenceRequest {
  /** `results` of the agent's reply, unchecked. */
  reply: unknown
}

export type EvidenceVerdict =
  | {
      outcome: 'passed'
      /** Bound to this very quote through PCR 16: V may be encrypted to it. Null where the quote binds none: V is never due to it. */
      transportKey: string | null
      clockInfo: ClockInfo
      algorithms: { hash: HashName; encryption: string; signing: string }
      ima: ImaProgress
    }
  | { outcome: 'failed'; failures: Failure[]; ima: ImaProgress }
  /** The machine was rebooted since the last round: the quote holds, but its log must be judged from the first entry. Releases nothing. */
  | { outcome: 'again'; clockInfo: ClockInfo; ima: ImaProgress }

const refused = (failures: Failure[]): EvidenceVerdict => ({ outcome: 'failed', failures, ima: FRESH_IMA })

/** Judges what an agent of API 2.x answered, whatever that is. */
export function judgeReply(agent: KnownAgent, { reply, ...request }: EvidenceRound): EvidenceVerdict {
  const read = readEvidenceV2(reply)
  return 'failure' in read ? refused([read.failure]) : verifyEvidence(agent, read.evidence, request)
}

/**
 * Judges one round of evidence in the order of protocol 4.6. Pure: the same evidence always gives the same verdict, however it came (pull,
 * push, or a bundle read years later). All failures of a round are collected; but when the quote itself does not hold, nothing in it is
 * looked at, and that is the only failure.
 */
export function verifyEvidence(agent: KnownAgent, evidence: Evidence, request: EvidenceRequest): EvidenceVerdict {
  const { nonce, evaluateBootAlways, effort } = request
  const transportKey = evidence.transportKey ?? (request.unbound ? null : agent.transportKey)
  if (!transportKey && !request.unbound)
    return refused([irrecoverable('qoute_validation', 'no_pubkey', { message: 'the agent sent no transport key, and none is known' })])
  const quote = genuineQuote(evidence, { ...agent, nonce, pcrs: request.pcrs ?? quotedPcrs(agent.policy) })
  if (!quote.ok) return refused(quote.failures)
  const { pcrs, clockInfo } = quote
  if (logIsOfEarlierBoot(agent, evidence, clockInfo)) return { outcome: 'again', clockInfo, ima: FRESH_IMA }
  const evaluateBoot = evaluateBootAlways || agent.attestationCount === 0
  const { failures, ima } = judgePolicies(evidence, { policy: agent.policy, pcrs, evaluateBoot, ima: agent.ima, effort })
  const all = [...(transportKey ? judgeDataPcr(pcrs, transportKey) : []), ...judgeUnused(agent.policy, pcrs), ...failures]
  if (all.length > 0) return refused(all)
  return { outcome: 'passed', transportKey, clockInfo, algorithms: { ...evidence.algorithms, hash: quote.hash }, ima }
}

/** What a verified quote is judged by. */
export interface PolicyQuestion {
  policy: AgentPolicy
  pcrs: VerifiedPcrs
  /** Compare the reference state of measured boot, or only replay the log. */
  evaluateBoot: boolean
  ima: ImaProgress
  effort?: Effort | undefined
}

/** The second half of the order of checks: measured boot, whose log gives boot_aggregate, then IMA, then static PCRs. */
export function judgePolicies(evidence: Evidence, question: PolicyQuestion): { failures: Failure[]; ima: ImaProgress } {
  const { policy, pcrs, evaluateBoot: evaluate, effort } = question
  const boot = policy.boot?.judge({ pcrs, log: evidence.bootLog, systemdLog: evidence.systemdLog, evaluate, effort })
  const ima = policy.ima ? judgeIma(evidence, { ...question, policy: policy.ima, bootAggregates: boot?.bootAggregates ?? [] }) : null
  return {
    failures: [...(boot?.failures ?? []), ...(ima?.failures ?? []), ...judgeStaticPcrs(policy.tpm, pcrs)],
    ima: ima?.progress ?? question.ima,
  }
}

interface ImaQuestion {
  policy: ImaPolicy
  pcrs: VerifiedPcrs
  ima: ImaProgress
  bootAggregates: ReturnType<BootPolicy['judge']>['bootAggregates']
  effort?: Effort | undefined
}

function judgeIma(
  { imaLog, bootTime }: Evidence,
  { policy, pcrs, ima, bootAggregates, effort }: ImaQuestion,
): ReturnType<ImaPolicy['judge']> {
  if (!imaLog) return { failures: [unusedPcr('PCR 10 was quoted, but the agent sent no IMA log')], progress: FRESH_IMA }
  const start = imaStart(ima, imaLog, bootTime)
  if ('failure' in start) return { failures: [start.failure], progress: FRESH_IMA }
  return policy.judge({ pcrs, list: imaLog.text, progress: start.progress, bootAggregates, effort })
}

const unusedPcr = (message: string) => failure('pcr_validation', `unused_pcr_${IMA_PCR}`, { message })

/** An agent that quotes PCR 10 for a policy that says nothing of IMA fails, as upstream has it: its mask asked for what nobody judges. */
const judgeUnused = (policy: AgentPolicy, pcrs: VerifiedPcrs): Failure[] =>
  !policy.ima && pcrs.values.has(IMA_PCR) ? [unusedPcr('PCR 10 was quoted, but there is no runtime policy to judge it by')] : []

/** Our progress belongs to an earlier boot, and the agent goes on from it: neither a good nor a bad machine, but one that must start over (policies A.7). */
function logIsOfEarlierBoot(agent: KnownAgent, { imaLog, bootTime }: Evidence, now: ClockInfo): boolean {
  const entry = imaLog?.firstEntry ?? 0
  if (!agent.policy.ima || entry === 0 || entry !== agent.ima.nextEntry) return false
  const rebooted = agent.clockInfo !== null && now.resetCount > agent.clockInfo.resetCount
  return rebooted || bootTime !== agent.ima.bootTime
}

/** Where the list begins: at the entry that was asked for, or at 0, which starts the whole judgement again. */
function imaStart(known: ImaProgress, { firstEntry }: ImaLog, bootTime: number): { progress: ImaProgress } | { failure: Failure } {
  if (firstEntry === 0) return { progress: { ...FRESH_IMA, bootTime } }
  if (firstEntry === known.nextEntry) return { progress: known }
  const facts = { message: 'the IMA log begins at another entry than was asked for', got: firstEntry, expected: known.nextEntry }
  return { failure: irrecoverable('qoute_validation', 'invalid_ima_entry_nb', facts) }
}
