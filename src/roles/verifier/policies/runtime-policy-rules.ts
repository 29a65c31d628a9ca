import { plainPolicy } from '../../../core/ima/signed-policy.ts'
import type { ImaJudging } from '../../../core/ima/stored-policy.ts'
import { nativePcrReplay } from '../../../io/native/pcr-replay.ts'
import { nativeVerifyDigest } from '../../../io/native/verify-digest.ts'

export interface RuntimePolicyRules {
  /** `fail_on_violations` */
  failOnViolations: boolean
  /** `require_allow_list_signatures` */
  requireSigned: boolean
}

/** The verifier judges with the native addon. */
export const imaJudging = ({ failOnViolations }: RuntimePolicyRules): ImaJudging => ({
  failOnViolations,
  replay: nativePcrReplay,
  verifyDigest: nativeVerifyDigest,
})

/**
 * Checks a policy that arrives: an envelope against the key that came with it; an unsigned one may be refused altogether.
 * @param key PEM; null when none came. @throws KeylimeError `unauthorized` or `invalid_request`, with upstream's texts.
 */
export function checkSignature(body: string, key: string | null, { requireSigned }: RuntimePolicyRules): void {
  plainPolicy(body, { key, required: requireSigned })
}
