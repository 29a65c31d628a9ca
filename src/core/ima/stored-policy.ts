import type { ImaPolicy } from './ima-policy.ts'
import { imaPolicy } from './judge-log.ts'
import { type KeyLookup, parseKeyring } from './keyring.ts'
import type { MakePcrReplay } from './pcr-replay.ts'
import { parseRuntimePolicy, type RuntimePolicy } from './runtime-policy.ts'
import { readRuntimePolicy } from './signed-policy.ts'
import type { VerifyDigest } from './verify-digest.ts'

/** How logs are judged, whatever the policy says. */
export interface ImaJudging {
  /** `fail_on_violations` */
  failOnViolations: boolean
  /** A faster replay than the one that runs everywhere. */
  replay?: MakePcrReplay
  /** A faster check of file signatures than the one that runs everywhere. */
  verifyDigest?: VerifyDigest
}

/** A stored runtime policy, parsed once for all its agents. */
export interface StoredImaPolicy {
  policy: RuntimePolicy
  /**
   * Null for the empty policy, which upstream's tenant stores for agents without one: such an agent fails when PCR 10 is quoted all the same.
   */
  ima: ImaPolicy | null
}

/** A signature was checked when the policy arrived. @throws KeylimeError `invalid_request` that names the place of the fault. */
export function parseStoredPolicy(body: string, judging: ImaJudging): StoredImaPolicy {
  const policy = readRuntimePolicy(body, { key: null, required: false })
  return { policy, ima: policy.isEmpty ? null : judgeOf(policy, judging) }
}

/**
 * The same policy with an agent's own keys for signed files, which count in the place of the policy's (`ima_sign_verification_keys`, deprecated
 * upstream; policies A.11). @param keys JSON text of a keyring; empty for an agent without. @throws KeylimeError `invalid_request`.
 */
export function withKeys(stored: StoredImaPolicy | null, keys: string, judging: ImaJudging): ImaPolicy | null {
  if (keys === '') return stored?.ima ?? null
  return judgeOf({ ...(stored?.policy ?? NOTHING_ACCEPTED), keys: parseKeyring(keys, 'ima_sign_verification_keys') }, judging)
}

const NOTHING_ACCEPTED = parseRuntimePolicy(
  '{"meta":{"version":1,"generator":0},"release":0,"digests":{},"excludes":[],"keyrings":{},"ima":{"ignored_keyrings":[],"log_hash_alg":"sha1","dm_policy":null},"ima-buf":{},"verification-keys":""}',
)

/**
 * The judge of a policy that was parsed before. @param keys an agent's own, in the place of the policy's; null for none.
 * @returns null for the empty policy of an agent without keys of its own.
 */
export const judgeBy = (policy: RuntimePolicy | null, keys: KeyLookup | null, judging: ImaJudging): ImaPolicy | null => {
  if (!keys) return policy === null || policy.isEmpty ? null : judgeOf(policy, judging)
  return judgeOf({ ...(policy ?? NOTHING_ACCEPTED), keys }, judging)
}

const judgeOf = (policy: RuntimePolicy, { failOnViolations, replay, verifyDigest }: ImaJudging) =>
  imaPolicy(policy, failOnViolations, replay, verifyDigest)
