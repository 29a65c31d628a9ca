import type { ImaPolicy } from '../../core/attestation/evidence-policy.ts'
import { imaPolicy } from '../../core/ima/judge-log.ts'
import { parseRuntimePolicy } from '../../core/ima/runtime-policy.ts'
import { plainPolicy } from '../../core/ima/signed-policy.ts'
import { nativePcrReplay } from '../../io/native/pcr-replay.ts'

export interface RuntimePolicyRules {
  /** `fail_on_violations` */
  failOnViolations: boolean
  /** `require_allow_list_signatures` */
  requireSigned: boolean
}

/**
 * The judge of a stored runtime policy; null for the empty one, which upstream's tenant stores for agents without a policy: such an agent fails when
 * PCR 10 is quoted all the same. A signature was checked when the policy arrived (`checkSignature`).
 * @throws KeylimeError `invalid_request` that names the place of the fault.
 */
export function parseImaPolicy(body: string, { failOnViolations }: RuntimePolicyRules): ImaPolicy | null {
  const policy = parseRuntimePolicy(plainPolicy(body, { key: null, required: false }))
  return policy.isEmpty ? null : imaPolicy(policy, failOnViolations, nativePcrReplay)
}

/**
 * Checks a policy that arrives: an envelope against the key that came with it; an unsigned one may be refused altogether.
 * @param key PEM; null when none came. @throws KeylimeError `unauthorized` or `invalid_request`, with upstream's texts.
 */
export function checkSignature(body: string, key: string | null, { requireSigned }: RuntimePolicyRules): void {
  plainPolicy(body, { key, required: requireSigned })
}
