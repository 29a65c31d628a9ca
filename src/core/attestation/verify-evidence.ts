import { type IntegrityQuote, integrityQuote } from '../api/agent.ts'
import { FRESH_IMA, type ImaProgress } from '../ima/ima-policy.ts'
import type { AgentPolicy } from '../policy/agent-policy.ts'
import { judgeStaticPcrs } from '../policy/tpm-policy.ts'
import { dataPcrValue } from '../quote/data-pcr.ts'
import { type VerifiedPcrs, verifyQuote } from '../quote/verify-quote.ts'
import { type HashName, isHashName } from '../tpm/algorithms.ts'
import type { ClockInfo } from '../tpm/attest.ts'
import { DATA_PCR, IMA_PCR, pcrMask, pcrsOfMask } from '../tpm/pcr-selection.ts'
import type { PublicArea } from '../tpm/public-area.ts'
import { type Failure, failure, irrecoverable } from '../verdict/failure.ts'
import { type AcceptedAlgorithms, isAccepted } from './accepted-algorithms.ts'
import { clockDefect } from './clock.ts'

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

export interface EvidenceRound {
  /** `results` of the agent's reply, unchecked. */
  reply: unknown
  /** The nonce of this request, never used before. */
  nonce: string
  /** `measured_boot_evaluate`: compare the reference state at every round, or only before the first good one. */
  evaluateBootAlways: boolean
}

export type EvidenceVerdict =
  | {
      outcome: 'passed'
      /** Bound to this very quote through PCR 16: V may be encrypted to it. */
      transportKey: string
      clockInfo: ClockInfo
      algorithms: { hash: HashName; encryption: string; signing: string }
      ima: ImaProgress
    }
  | { outcome: 'failed'; failures: Failure[]; ima: ImaProgress }
  /** The machine was rebooted since the last round: the quote holds, but its log must be judged from the first entry. Releases nothing. */
  | { outcome: 'again'; clockInfo: ClockInfo; ima: ImaProgress }

/** PCRs that a quote for this policy must cover, ascending. */
export const quotedPcrs = (policy: AgentPolicy): number[] => pcrsOfMask(policy.tpm.mask | pcrMask([DATA_PCR]))

/**
 * Judges one round of evidence in the order of protocol 4.6. Pure: the same evidence always gives the same verdict, however it came (pull,
 * push, or a bundle read years later). All failures of a round are collected; but when the quote itself does not hold, nothing in it is
 * looked at, and that is the only failure.
 */
export function verifyEvidence(agent: KnownAgent, round: EvidenceRound): EvidenceVerdict {
  const refused = (failures: Failure[]): EvidenceVerdict => ({ outcome: 'failed', failures, ima: FRESH_IMA })
  const parsed = integrityQuote.safeParse(round.reply)
  if (!parsed.success) return refused([invalidData(parsed.error.issues.map((i) => `${i.path.join('.')}: ${i.message}`).join('; '))])
  const reply = parsed.data
  const transportKey = reply.pubkey ?? agent.transportKey
  if (!transportKey)
    return refused([irrecoverable('qoute_validation', 'no_pubkey', { message: 'the agent sent no transport key, and none is known' })])
  const algorithms = algorithmFailures(reply, agent.accepted)
  if (algorithms.length > 0) return refused(algorithms)
  const hash = reply.hash_alg as HashName
  const verdict = verifyQuote(reply.quote, { ak: agent.ak, nonce: Buffer.from(round.nonce, 'ascii'), hash, pcrs: quotedPcrs(agent.policy) })
  if (!verdict.ok) return refused(verdict.failures)
  const clock = clockDefect(verdict.clockInfo, agent.clockInfo)
  if (clock) return refused([irrecoverable('qoute_validation', 'quote_validation', { message: clock })])
  if (logIsOfEarlierBoot(agent, reply, verdict.clockInfo)) return { outcome: 'again', clockInfo: verdict.clockInfo, ima: FRESH_IMA }
  const { failures, ima } = judgePolicies(agent, reply, verdict.pcrs, transportKey, round)
  if (failures.length > 0) return refused(failures)
  return {
    outcome: 'passed',
    transportKey,
    clockInfo: verdict.clockInfo,
    algorithms: { hash, encryption: reply.enc_alg, signing: reply.sign_alg },
    ima,
  }
}

const invalidData = (message: string) =>
  irrecoverable('qoute_validation', 'invalid_data', { message: `the reply is not evidence: ${message}` })

function algorithmFailures(reply: IntegrityQuote, accepted: AcceptedAlgorithms): Failure[] {
  const refuse = (name: string, what: string, got: string, expected: readonly string[]) =>
    irrecoverable('qoute_validation', name, { message: `the agent's ${what} ${got} is not accepted`, got, expected: [...expected] })
  const failures: Failure[] = []
  if (!isAccepted(reply.hash_alg, accepted.hash) || !isHashName(reply.hash_alg))
    failures.push(refuse('invalid_hash_alg', 'hash algorithm', reply.hash_alg, accepted.hash))
  if (!isAccepted(reply.enc_alg, accepted.encryption))
    failures.push(refuse('invalid_enc_alg', 'key type', reply.enc_alg, accepted.encryption))
  if (!isAccepted(reply.sign_alg, accepted.signing))
    failures.push(refuse('invalid_sign_alg', 'signature scheme', reply.sign_alg, accepted.signing))
  return failures
}

interface PolicyResult {
  failures: Failure[]
  ima: ImaProgress
}

function judgePolicies(
  agent: KnownAgent,
  reply: IntegrityQuote,
  pcrs: VerifiedPcrs,
  transportKey: string,
  round: EvidenceRound,
): PolicyResult {
  const { policy } = agent
  const failures = judgeDataPcr(pcrs, transportKey)
  let bootAggregates: Parameters<NonNullable<AgentPolicy['ima']>['judge']>[0]['bootAggregates'] = []
  if (policy.boot) {
    const log = reply.mb_measurement_list ? Buffer.from(reply.mb_measurement_list, 'base64') : null
    const boot = policy.boot.judge({ pcrs, log, evaluate: round.evaluateBootAlways || agent.attestationCount === 0 })
    failures.push(...boot.failures)
    bootAggregates = boot.bootAggregates
  }
  let ima = agent.ima
  if (pcrs.values.has(IMA_PCR)) {
    const result = judgeIma(agent, reply, pcrs, bootAggregates)
    failures.push(...result.failures)
    ima = result.ima
  }
  failures.push(...judgeStaticPcrs(policy.tpm, pcrs))
  return { failures, ima }
}

function judgeDataPcr(pcrs: VerifiedPcrs, transportKey: string): Failure[] {
  const got = pcrs.values.get(DATA_PCR)
  if (!got)
    return [
      failure('pcr_validation', `missing_pcr_${DATA_PCR}`, { message: `PCR ${DATA_PCR}, which binds the transport key, was not quoted` }),
    ]
  const expected = dataPcrValue(pcrs.hash, transportKey)
  if (got.equals(expected)) return []
  const message = `PCR ${DATA_PCR} does not bind the transport key that the agent sent`
  return [
    failure('pcr_validation', `invalid_pcr_${DATA_PCR}`, {
      message,
      pcr: DATA_PCR,
      got: got.toString('hex'),
      expected: [expected.toString('hex')],
    }),
  ]
}

function judgeIma(
  agent: KnownAgent,
  reply: IntegrityQuote,
  pcrs: VerifiedPcrs,
  bootAggregates: readonly { hash: HashName; digest: string }[],
): PolicyResult {
  const list = reply.ima_measurement_list
  if (!agent.policy.ima || list === undefined || list === null) {
    const message = agent.policy.ima
      ? 'PCR 10 was quoted, but the agent sent no IMA log'
      : 'PCR 10 was quoted, but there is no runtime policy to judge it by'
    return { failures: [failure('pcr_validation', `unused_pcr_${IMA_PCR}`, { message })], ima: FRESH_IMA }
  }
  const start = imaStart(agent.ima, reply)
  if ('failure' in start) return { failures: [start.failure], ima: FRESH_IMA }
  const { failures, progress } = agent.policy.ima.judge({ pcrs, list, progress: start.progress, bootAggregates })
  return { failures, ima: progress }
}

/** Our progress belongs to an earlier boot, and the agent goes on from it: neither a good nor a bad machine, but one that must start over (policies A.7). */
function logIsOfEarlierBoot(agent: KnownAgent, reply: IntegrityQuote, now: ClockInfo): boolean {
  const entry = reply.ima_measurement_list_entry ?? 0
  if (!agent.policy.ima || entry === 0 || entry !== agent.ima.nextEntry) return false
  const rebooted = agent.clockInfo !== null && now.resetCount > agent.clockInfo.resetCount
  return rebooted || (reply.boottime ?? 0) !== agent.ima.bootTime
}

/** Where the list begins: at the entry that was asked for, or at 0, which starts the whole judgement anew. */
function imaStart(known: ImaProgress, reply: IntegrityQuote): { progress: ImaProgress } | { failure: Failure } {
  const entry = reply.ima_measurement_list_entry ?? 0
  if (entry === 0) return { progress: { ...FRESH_IMA, bootTime: reply.boottime ?? 0 } }
  if (entry === known.nextEntry) return { progress: known }
  const facts = { message: 'the IMA log begins at another entry than was asked for', got: entry, expected: known.nextEntry }
  return { failure: irrecoverable('qoute_validation', 'invalid_ima_entry_nb', facts) }
}
