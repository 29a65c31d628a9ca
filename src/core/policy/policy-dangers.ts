import type { RuntimePolicy } from '../ima/runtime-policy.ts'
import { type BootPolicyName, parseBootPolicyText } from '../measured-boot/boot-policy.ts'
import { isReferenceState } from '../measured-boot/reference-state.ts'
import { isTooWide, lintExclude } from './lint-exclude.ts'
import { lintBootPolicy } from './lint-pcr-policy.ts'
import type { PolicyWarning } from './policy-warning.ts'

/** What in a policy lets in what the policy is there to keep out. On the wire as it is, in the member `warnings` of `results`. */
export interface PolicyDanger {
  policy: 'runtime_policy' | 'mb_policy'
  /** JSON path. */
  path: string
  message: string
}

const MAX_DANGERS = 20

/** Of the excludes alone, in a time that the number of digests has no part in. */
export function runtimeDangers({ excludes, isExcluded }: RuntimePolicy): PolicyDanger[] {
  if (!isTooWide(isExcluded)) return []
  const found: PolicyWarning[] = []
  for (const [i, expression] of excludes.entries()) {
    if (found.length === MAX_DANGERS) break
    found.push(...lintExclude(expression, `excludes[${i}]`).filter(({ dangerous }) => dangerous))
  }
  return named('runtime_policy', found)
}

/** @param name how this verifier judges: only `example` compares a reference state. */
export function bootDangers(text: string, name: BootPolicyName): PolicyDanger[] {
  const state = parseBootPolicyText(text)
  if (/^\s*\{\s*\}\s*$/.test(text)) return named('mb_policy', lintBootPolicy({}))
  if (!state || name === 'reject-all') return []
  if (name === 'example') return named('mb_policy', lintBootPolicy(state))
  if (!isReferenceState(state)) return []
  const message = 'is not compared with what boots: measured_boot_policy_name of this verifier is accept-all'
  return [{ policy: 'mb_policy', path: 'mb_policy', message }]
}

/** One sentence of them, for a log. */
export const dangerText = ([first, ...others]: readonly PolicyDanger[]): string =>
  `${first!.path}: ${first!.message}${others.length > 0 ? ` (and ${others.length} more)` : ''}`

const named = (policy: PolicyDanger['policy'], warnings: readonly PolicyWarning[]): PolicyDanger[] =>
  warnings
    .filter(({ dangerous }) => dangerous)
    .slice(0, MAX_DANGERS)
    .map(({ path, message }) => ({ policy, path, message }))
