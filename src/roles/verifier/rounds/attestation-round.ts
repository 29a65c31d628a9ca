import { agentVersion } from '../../../core/api/agent.ts'
import { type Envelope, type RawAnswer, readEnvelope, SHORT_ANSWER_BYTES } from '../../../core/api/envelope.ts'
import { isAtLeast, negotiateVersion } from '../../../core/api/versions.ts'
import type { AgentEvent } from '../../../core/attestation/agent-state.ts'
import type { KnownAgent } from '../../../core/attestation/verify-evidence.ts'
import type { NowOrLater } from '../../../core/concurrency/now-or-later.ts'
import { isKeylimeError, type KeylimeError, rootCause } from '../../../core/errors.ts'
import { FRESH_IMA } from '../../../core/ima/ima-policy.ts'
import type { Judging } from '../../../core/judging/judging.ts'
import { policyMask } from '../../../core/policy/agent-policy.ts'
import type { Clock } from '../../../io/clock.ts'
import type { AgentRequest } from '../../../io/http/agent-connection.ts'
import { randomAlphanumeric } from '../../../io/random.ts'
import { isTryAgain } from '../agents/agent-answers.ts'
import type { ManagedAgent } from '../agents/managed-agent.ts'
import type { BookedPolicy } from '../policies/policy-book.ts'
import { keepRules, type RoundVerdict } from '../verdicts/keep-failed-round.ts'
import { OwnTrouble } from './own-trouble.ts'
import { NO_METER, type RoundMeter } from './round-meter.ts'

/** What one request for evidence led to: a verdict, or what happened instead. `later`: there was no room to judge it, which says nothing of the machine. */
export type RoundResult = ({ event: AgentEvent } | { round: RoundVerdict } | { later: string }) & {
  supportedVersion?: string
  /** The machine does not take the verifier’s certificate, as far as can be seen from here. */
  notBelieved?: boolean
}

/** An agent that can be asked. */
type Reachable = ManagedAgent & { connection: NonNullable<ManagedAgent['connection']> }

/** Asks one agent for a quote with a fresh nonce and has the answer judged. Never throws for what an agent does, and never says nothing. @throws OwnTrouble where that has nothing to do with the agent. */
export type AttestationRound = (agent: ManagedAgent) => NowOrLater<RoundResult>

export interface RoundOptions {
  judging: Pick<Judging, 'judgeRound'>
  clock: Clock
  /** `measured_boot_evaluate = always` */
  evaluateBootAlways: boolean
  /** `evidence_max_size` */
  maxEvidenceBytes: number
  /** `max_quote_size` */
  maxQuoteBytes: number
  /** Default: nobody counts. */
  meter?: Pick<RoundMeter, 'stage'>
}

const AGENT_VERSIONS = ['2.0', '2.1', '2.2', '2.3', '2.4', '2.5', '2.6'] as const
const NONCE_CHARACTERS = 20

export function createAttestationRound(options: RoundOptions): AttestationRound {
  const { judging, evaluateBootAlways, maxQuoteBytes, clock, meter = NO_METER } = options

  /** @throws KeylimeError of a machine that does not answer; OwnTrouble. */
  async function quoteOf(agent: Reachable, nonce: string, nextEntry: number): Promise<RawAnswer> {
    try {
      return await agent.connection.request({ ...quoteRequest(agent, nonce, nextEntry), maxBytes: maxQuoteBytes })
    } catch (error) {
      throw isKeylimeError(error) ? error : new OwnTrouble(error)
    }
  }

  async function askOnce(agent: Reachable): Promise<RoundResult & { stale?: boolean }> {
    const nonce = randomAlphanumeric(NONCE_CHARACTERS)
    const known = knownAgent(agent)
    const { policy, attestationCount } = known
    const attestedBefore = attestationCount > 0
    let answer: RawAnswer
    const began = clock.monotonic()
    try {
      answer = await quoteOf(agent, nonce, known.ima.nextEntry)
      if (answer.status !== 200) return await answerWithoutQuote(agent, readEnvelope(answer), attestedBefore)
    } catch (error) {
      if (!isKeylimeError(error)) throw error
      if (error.code === 'payload_too_large')
        return { event: { type: 'refused', stage: 'quote', reason: `${error.message}: see max_quote_size` } }
      const stale = error.details?.['stale'] === true
      return {
        event: { type: 'unreachable', stage: 'quote', attestedBefore, reason: error.message },
        stale,
        notBelieved: endsHandshake(error),
      }
    }
    const answered = clock.monotonic()
    meter.stage('ask', answered - began)
    const request = { nonce, evaluateBootAlways }
    const keep = keepRules(agent, options.maxEvidenceBytes, clock)
    const given = judging.judgeRound({ answer: answer.body, request, known, keep })
    const judged = given instanceof Promise ? await given : given
    meter.stage('judge', clock.monotonic() - answered)
    if (judged.kind === 'later') return { later: judged.reason }
    if (judged.kind === 'unreadable') return { event: { type: 'unreachable', stage: 'quote', attestedBefore, reason: judged.reason } }
    return { round: { judged, policy, attestationCount } }
  }

  return async (agent) => {
    if (!canBeAsked(agent)) throw new Error(`agent ${agent.enrolment.agentId} brings its evidence by itself, and was asked`)
    const first = await askOnce(agent)
    // An idle connection that the agent had closed is no failed try: once more on a new one, and with a new nonce. Only once: an agent
    // that closes every connection is unreachable, and must be asked on.
    return first.stale ? askOnce(agent) : first
  }
}

const canBeAsked = (agent: ManagedAgent): agent is Reachable => agent.connection !== null

/** What is known before the round. An IMA log that was judged under another policy is judged again from its first entry (invariant 10). */
export const knownAgent = ({ ak, enrolment, policy, state, progress }: ManagedAgent): KnownAgent & { policy: BookedPolicy } => ({
  ak,
  transportKey: state.transportKey,
  accepted: enrolment.accepted,
  policy,
  clockInfo: progress.clockInfo,
  ima: progress.imaJudgedBy === policy.imaJudgedBy ? progress.ima : FRESH_IMA,
  attestationCount: progress.attestationCount,
})

function quoteRequest({ policy, partial, state }: ManagedAgent, nonce: string, nextEntry: number): Omit<AgentRequest, 'maxBytes'> {
  const mask = `0x${policyMask(policy).toString(16)}`
  const query = `nonce=${nonce}&mask=${mask}&partial=${partial && state.transportKey !== null ? '1' : '0'}&ima_ml_entry=${nextEntry}`
  return { method: 'GET', path: `/v${state.supportedVersion}/quotes/integrity?${query}` }
}

async function answerWithoutQuote(agent: Reachable, envelope: Envelope, attestedBefore: boolean): Promise<RoundResult> {
  const reason = `the agent answered ${envelope.code} ${envelope.status}`.trim()
  if (isTryAgain(envelope.code)) return { event: { type: 'unreachable', stage: 'quote', attestedBefore, reason } }
  if (envelope.code === 400 && envelope.status.includes('API version not supported')) return negotiate(agent, reason)
  return { event: { type: 'refused', stage: 'quote', reason }, notBelieved: NOT_BELIEVED.has(envelope.code) }
}

const NOT_BELIEVED: ReadonlySet<number> = new Set([401, 403])

/** What is seen of a server that does not take a client's certificate: an alert at best. */
function endsHandshake(error: KeylimeError): boolean {
  const code = String((rootCause(error) as NodeJS.ErrnoException).code ?? '')
  return error.details?.['stale'] !== true && /^(UND_ERR_SOCKET|ECONNRESET|EPIPE|EPROTO|ERR_(TLS|SSL)_.*)$/.test(code)
}

/** Finds another version that both know. An agent that was attested never goes back to an older one (protocol 1.3). */
async function negotiate(agent: Reachable, reason: string): Promise<RoundResult> {
  const attestedBefore = agent.progress.attestationCount > 0
  try {
    const answer = await agent.connection.request({ method: 'GET', path: '/version', maxBytes: SHORT_ANSWER_BYTES })
    const { code, results } = readEnvelope(answer)
    const offered = agentVersion.safeParse(results)
    if (code === 200 && offered.success) {
      const version = negotiateVersion(offered.data.supported_versions ?? offered.data.supported_version, AGENT_VERSIONS)
      const known = agent.state.supportedVersion
      const usable = version !== null && version !== known && !(attestedBefore && isAtLeast(known, version))
      if (usable) return { event: { type: 'unreachable', stage: 'quote', attestedBefore, reason }, supportedVersion: version }
    }
  } catch (error) {
    if (!isKeylimeError(error)) throw error
    return { event: { type: 'unreachable', stage: 'quote', attestedBefore, reason: error.message } }
  }
  return { event: { type: 'version_unsupported', reason: `${reason}, and no version that both know can be used` } }
}
