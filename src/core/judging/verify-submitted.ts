import { type JsonLimits, jsonExcess, parseBoundedJson } from '../api/bounded-json.ts'
import { parseMessage } from '../api/parse-message.ts'
import { evidenceRequest } from '../api/verifier.ts'
import { verifyOnce } from '../attestation/verify-once.ts'
import { isKeylimeError, KeylimeError } from '../errors.ts'
import { readSubmittedEvidence, type SubmittedEvidence } from '../evidence/read-submitted-evidence.ts'
import { parseStoredPolicy } from '../ima/stored-policy.ts'
import { parseBootPolicy } from '../measured-boot/boot-policy.ts'
import { type AgentPolicy, policyMask } from '../policy/agent-policy.ts'
import type { PolicyRules } from '../policy/machine-policy.ts'
import { parseTpmPolicy } from '../policy/tpm-policy.ts'
import { isHashName } from '../tpm/algorithms.ts'
import { akDefects, ekDefects } from '../tpm/key-defects.ts'
import { parsePublicArea } from '../tpm/public-area.ts'
import type { OneShotVerdict } from './judging.ts'

/** Evidence with its policies: a digest of a policy is three values. */
const LIMITS: JsonLimits = { maxDepth: 32, maxValues: 500_000 }

/** Judges the body of `POST /verify/evidence` (protocol 4.10). Takes long if somebody wants it to. @throws KeylimeError `invalid_request`. */
export function verifySubmitted(body: Buffer, rules: PolicyRules): OneShotVerdict {
  const { type, data } = parseMessage(evidenceRequest, parseBoundedJson(body, 'the evidence', LIMITS), 'the evidence')
  if (type !== 'tpm') throw new KeylimeError('invalid_request', `evidence of type ${type.slice(0, 20)} cannot be judged here, only tpm`)
  if (!isHashName(data.hash_alg)) throw new KeylimeError('invalid_request', `hash_alg ${data.hash_alg.slice(0, 20)} is not known`)
  const policy = policyOf(data, rules)
  const ak = parsePublicArea(Buffer.from(data.tpm_ak, 'base64'))
  refuse('tpm_ak is not an attestation key', akDefects(ak))
  refuse('tpm_ek is not an endorsement key', ekDefectsOf(data.tpm_ek))
  const failures = verifyOnce(readSubmittedEvidence(data), { ak, nonce: data.nonce, policy })
  return { valid: failures.length === 0, failures: failures.map((f) => ({ type: f.eventId, context: f.context })) }
}

/** Such a key signs what it is given: its quote says nothing of a TPM, and there is nothing to judge. */
function refuse(what: string, defects: readonly string[]): void {
  if (defects.length > 0) throw new KeylimeError('invalid_request', `${what}: ${defects.join(', ')}`)
}

/** Nothing is judged by it, and whoever sends no TPM2B_PUBLIC is told nothing of it. */
function ekDefectsOf(text: string): string[] {
  try {
    return ekDefects(parsePublicArea(Buffer.from(text, 'base64')))
  } catch (error) {
    if (isKeylimeError(error)) return []
    throw error
  }
}

function policyOf(data: SubmittedEvidence, rules: PolicyRules): AgentPolicy {
  const texts = [data.tpm_policy, data.runtime_policy, data.mb_policy].map(asText) as [string, string, string]
  const [tpm, runtime, mb] = texts
  if (!tpm && !runtime && !mb) throw new KeylimeError('invalid_request', 'one of tpm_policy, runtime_policy and mb_policy is needed')
  for (const text of texts) {
    const excess = jsonExcess(Buffer.from(text), LIMITS)
    if (excess) throw new KeylimeError('invalid_request', `a policy ${excess}`)
  }
  const ima = runtime ? parseStoredPolicy(runtime, rules).ima : null
  if (runtime && !ima) throw new KeylimeError('invalid_request', 'runtime_policy is empty: no list could be judged by it')
  const policy = { tpm: parseTpmPolicy(tpm || '{}'), ima, boot: mb ? parseBootPolicy(mb, rules.bootPolicy) : null }
  if (policyMask(policy) === 0) throw new KeylimeError('invalid_request', 'the policies demand nothing: nothing would be judged')
  return policy
}

const asText = (value: unknown): string =>
  value === undefined || value === null ? '' : typeof value === 'string' ? value : JSON.stringify(value)
