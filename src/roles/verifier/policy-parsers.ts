import type { ImaPolicy } from '../../core/attestation/evidence-policy.ts'
import { imaPolicy } from '../../core/ima/judge-log.ts'
import { parseKeyring } from '../../core/ima/keyring.ts'
import { parseRuntimePolicy, type RuntimePolicy } from '../../core/ima/runtime-policy.ts'
import { plainPolicy } from '../../core/ima/signed-policy.ts'
import { nativePcrReplay } from '../../io/native/pcr-replay.ts'

export interface RuntimePolicyRules {
  /** `fail_on_violations` */
  failOnViolations: boolean
  /** `require_allow_list_signatures` */
  requireSigned: boolean
}

/** A stored runtime policy, parsed once for all its agents. */
export interface StoredImaPolicy {
  policy: RuntimePolicy
  /**
   * Null for the empty policy, which upstream's tenant stores for agents without one: such an agent fails when PCR 10 is quoted all the same.
   */
  ima: ImaPolicy | null
}

/** A signature was checked when the policy arrived (`checkSignature`). @throws KeylimeError `invalid_request` that names the place of the fault. */
export function parseStoredPolicy(body: string, rules: RuntimePolicyRules): StoredImaPolicy {
  const policy = parseRuntimePolicy(plainPolicy(body, { key: null, required: false }))
  return { policy, ima: policy.isEmpty ? null : judgeOf(policy, rules) }
}

/**
 * The same policy with an agent's own keys for signed files, which count in the place of the policy's (`ima_sign_verification_keys`, deprecated
 * upstream; policies A.11). @param keys JSON text of a keyring. @throws KeylimeError `invalid_request`.
 */
export function withKeys(stored: StoredImaPolicy | null, keys: string, rules: RuntimePolicyRules): ImaPolicy {
  return judgeOf({ ...(stored?.policy ?? NOTHING_ACCEPTED), keys: parseKeyring(keys, 'ima_sign_verification_keys') }, rules)
}

const NOTHING_ACCEPTED = parseRuntimePolicy(
  '{"meta":{"version":1,"generator":0},"release":0,"digests":{},"excludes":[],"keyrings":{},"ima":{"ignored_keyrings":[],"log_hash_alg":"sha1","dm_policy":null},"ima-buf":{},"verification-keys":""}',
)

const judgeOf = (policy: RuntimePolicy, { failOnViolations }: RuntimePolicyRules) => imaPolicy(policy, failOnViolations, nativePcrReplay)

/**
 * Checks a policy that arrives: an envelope against the key that came with it; an unsigned one may be refused altogether.
 * @param key PEM; null when none came. @throws KeylimeError `unauthorized` or `invalid_request`, with upstream's texts.
 */
export function checkSignature(body: string, key: string | null, { requireSigned }: RuntimePolicyRules): void {
  plainPolicy(body, { key, required: requireSigned })
}
