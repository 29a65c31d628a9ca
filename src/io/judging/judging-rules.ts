import type { ReadingRules } from '../../core/judging/read-policy.ts'
import type { PolicyRules } from '../../core/policy/machine-policy.ts'
import { nativePcrReplay } from '../native/pcr-replay.ts'
import { nativeVerifyDigest } from '../native/verify-digest.ts'

/** How this verifier judges, as its configuration says. */
export interface JudgingRules extends ReadingRules {
  /** `fail_on_violations` */
  failOnViolations: boolean
}

/** The same, with the fast parts of the native addon. */
export const withNativeAddon = ({ failOnViolations, bootPolicy }: JudgingRules): PolicyRules => ({
  failOnViolations,
  bootPolicy,
  replay: nativePcrReplay,
  verifyDigest: nativeVerifyDigest,
})
