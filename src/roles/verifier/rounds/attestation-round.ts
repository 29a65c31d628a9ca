import { agentVersion } from '../../../core/api/agent.ts'
import type { Envelope } from '../../../core/api/envelope.ts'
import { isAtLeast, negotiateVersion } from '../../../core/api/versions.ts'
import type { AgentEvent } from '../../../core/attestation/agent-state.ts'
import { type EvidenceRound, type EvidenceVerdict, judgeReply, type KnownAgent } from '../../../core/attestation/verify-evidence.ts'
import { isKeylimeError } from '../../../core/errors.ts'
import { policyMask } from '../../../core/policy/agent-policy.ts'
import type { AgentRequest } from '../../../io/http/agent-client.ts'
import { randomAlphanumeric } from '../../../io/random.ts'
import type { ManagedAgent } from '../agents/managed-agent.ts'
import type { BookedPolicy } from '../policies/policy-book.ts'

/** A verdict, what was judged, and by what: kept until the verdict is stored. */
export interface JudgedRound {
  known: KnownAgent & { policy: BookedPolicy }
  round: EvidenceRound
  verdict: EvidenceVerdict
}

/** What one request for evidence led to. `judged` is there when there was evidence to judge. */
export type RoundResult = {
  event: AgentEvent | null
  judged: JudgedRound | null
  supportedVersion?: string
}

const AGENT_VERSIONS = ['2.0', '2.1', '2.2', '2.3', '2.4', '2.5', '2.6'] as const
const NONCE_CHARACTERS = 20
/** Upstream's codes for "try again" (protocol 4.2), and what proxies answer for them. */
const TRY_AGAIN = new Set([408, 429, 500, 502, 503, 504, 599])

/** Asks one agent for a quote with a fresh nonce and judges the answer. Never throws for what an agent does, and never says nothing. */
export async function attestationRound(agent: ManagedAgent, evaluateBootAlways: boolean): Promise<RoundResult> {
  const first = await askOnce(agent, evaluateBootAlways)
  // An idle connection that the agent had closed is no failed try: once more on a new one, and with a new nonce. Only once: an agent
  // that closes every connection is unreachable, and must be asked on.
  return first.stale ? askOnce(agent, evaluateBootAlways) : first
}

async function askOnce(agent: ManagedAgent, evaluateBootAlways: boolean): Promise<RoundResult & { stale?: boolean }> {
  const nonce = randomAlphanumeric(NONCE_CHARACTERS)
  const attestedBefore = agent.progress.attestationCount > 0
  let envelope: Envelope
  try {
    envelope = await agent.connection.request(quoteRequest(agent, nonce))
  } catch (error) {
    if (!isKeylimeError(error)) throw error
    const stale = error.details?.['stale'] === true
    return { event: { type: 'unreachable', stage: 'quote', attestedBefore, reason: error.message }, judged: null, stale }
  }
  if (envelope.code !== 200) return answerWithoutQuote(agent, envelope, attestedBefore)
  const known = {
    ak: agent.ak,
    transportKey: agent.state.transportKey,
    accepted: agent.enrolment.accepted,
    policy: agent.policy,
    clockInfo: agent.progress.clockInfo,
    ima: agent.progress.ima,
    attestationCount: agent.progress.attestationCount,
  }
  const round = { reply: envelope.results, nonce, evaluateBootAlways }
  return { event: null, judged: { known, round, verdict: judgeReply(known, round) } }
}

function quoteRequest(agent: ManagedAgent, nonce: string): AgentRequest {
  const mask = `0x${policyMask(agent.policy).toString(16)}`
  const partial = agent.partial && agent.state.transportKey !== null ? '1' : '0'
  const query = `nonce=${nonce}&mask=${mask}&partial=${partial}&ima_ml_entry=${agent.progress.ima.nextEntry}`
  return { method: 'GET', path: `/v${agent.state.supportedVersion}/quotes/integrity?${query}` }
}

async function answerWithoutQuote(agent: ManagedAgent, envelope: Envelope, attestedBefore: boolean): Promise<RoundResult> {
  const reason = `the agent answered ${envelope.code} ${envelope.status}`.trim()
  if (TRY_AGAIN.has(envelope.code)) return { event: { type: 'unreachable', stage: 'quote', attestedBefore, reason }, judged: null }
  if (envelope.code === 400 && envelope.status.includes('API version not supported')) return negotiate(agent, reason)
  return { event: { type: 'refused', stage: 'quote', reason }, judged: null }
}

/** Finds another version that both know. An agent that was attested never goes back to an older one (protocol 1.3). */
async function negotiate(agent: ManagedAgent, reason: string): Promise<RoundResult> {
  const attestedBefore = agent.progress.attestationCount > 0
  try {
    const { code, results } = await agent.connection.request({ method: 'GET', path: '/version' })
    const offered = agentVersion.safeParse(results)
    if (code === 200 && offered.success) {
      const version = negotiateVersion(offered.data.supported_versions ?? offered.data.supported_version, AGENT_VERSIONS)
      const known = agent.state.supportedVersion
      const usable = version !== null && version !== known && !(attestedBefore && isAtLeast(known, version))
      if (usable) return { event: { type: 'unreachable', stage: 'quote', attestedBefore, reason }, judged: null, supportedVersion: version }
    }
  } catch (error) {
    if (!isKeylimeError(error)) throw error
    return { event: { type: 'unreachable', stage: 'quote', attestedBefore, reason: error.message }, judged: null }
  }
  return { event: { type: 'version_unsupported', reason: `${reason}, and no version that both know can be used` }, judged: null }
}
