import { parseMessage } from '../../../core/api/parse-message.ts'
import { evidenceRequest } from '../../../core/api/verifier.ts'
import { isAtLeast } from '../../../core/api/versions.ts'
import { verifyOnce } from '../../../core/attestation/verify-once.ts'
import { KeylimeError } from '../../../core/errors.ts'
import { readSubmittedEvidence, type SubmittedEvidence } from '../../../core/evidence/read-submitted-evidence.ts'
import { parseStoredPolicy } from '../../../core/ima/stored-policy.ts'
import { parseBootPolicy } from '../../../core/measured-boot/boot-policy.ts'
import type { AgentPolicy } from '../../../core/policy/agent-policy.ts'
import { parseTpmPolicy } from '../../../core/policy/tpm-policy.ts'
import { isHashName } from '../../../core/tpm/algorithms.ts'
import { parsePublicArea } from '../../../core/tpm/public-area.ts'
import type { Failure } from '../../../core/verdict/failure.ts'
import type { Route } from '../../../io/http/route.ts'
import { imaJudging } from '../policies/runtime-policy-rules.ts'
import type { VerifierContext } from './verifier-context.ts'

/** `POST /v2.x/verify/evidence`: judges evidence that somebody else collected, once, and stores nothing (protocol 4.10). */
export function verifyEvidenceOnce(context: VerifierContext): Route['handle'] {
  return ({ body, version }) => {
    const { type, data } = parseMessage(evidenceRequest, body, 'the evidence')
    if (type !== 'tpm') throw new KeylimeError('invalid_request', `evidence of type ${type.slice(0, 20)} cannot be judged here, only tpm`)
    const failures = judgeOnce(data, policyOf(data, context.settings))
    const valid = failures.length === 0
    const list = failures.map((f) => ({ type: f.eventId, context: f.context }))
    return { results: { valid: isAtLeast(version, '2.5') ? valid : Number(valid), claims: {}, failures: list } }
  }
}

const asText = (value: unknown): string =>
  value === undefined || value === null ? '' : typeof value === 'string' ? value : JSON.stringify(value)

function policyOf(data: SubmittedEvidence, { bootPolicy, runtimePolicyRules }: VerifierContext['settings']): AgentPolicy {
  const [tpm, runtime, mb] = [data.tpm_policy, data.runtime_policy, data.mb_policy].map(asText) as [string, string, string]
  if (!tpm && !runtime && !mb) throw new KeylimeError('invalid_request', 'one of tpm_policy, runtime_policy and mb_policy is needed')
  return {
    tpm: parseTpmPolicy(tpm || '{}'),
    ima: runtime ? parseStoredPolicy(runtime, imaJudging(runtimePolicyRules)).ima : null,
    boot: mb ? parseBootPolicy(mb, bootPolicy) : null,
  }
}

function judgeOnce(data: SubmittedEvidence, policy: AgentPolicy): Failure[] {
  if (!isHashName(data.hash_alg)) throw new KeylimeError('invalid_request', `hash_alg ${data.hash_alg.slice(0, 20)} is not known`)
  const ak = parsePublicArea(Buffer.from(data.tpm_ak, 'base64'))
  return verifyOnce(readSubmittedEvidence(data), { ak, nonce: data.nonce, policy })
}
