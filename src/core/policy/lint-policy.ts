import { isEmptyAggregate } from '../ima/acceptance-words.ts'
import { KERNEL_HASHES } from '../ima/kernel-hashes.ts'
import type { RuntimePolicy } from '../ima/runtime-policy.ts'
import { lintExclude } from './lint-exclude.ts'
import type { PolicyWarning } from './policy-warning.ts'

const WORLD_WRITABLE = /^\/(?:tmp|var\/tmp|dev\/shm)\//
const SHA1_DIGITS = 40
/** Lengths of digests that a kernel measures with. */
const DIGEST_DIGITS = new Set([...KERNEL_HASHES.values()].map(({ size }) => 2 * size))
/** What the kernel measures without a path. */
const NO_FILE = /^(?:boot_aggregate$|memfd:|anon_inode:|socket:|pipe:|SYSV)/

/** What in a runtime policy is valid and probably not meant. */
export function lintPolicy(policy: RuntimePolicy): PolicyWarning[] {
  const { excludes } = policy
  if (policy.digests.size === 0 && policy.keys.size === 0 && excludes.length === 0)
    return [{ path: 'digests', message: 'the policy is empty: every machine fails' }]
  const warnings = excludes.flatMap((expression, i) => lintExclude(expression, `excludes[${i}]`))
  if (!policy.digests.has('boot_aggregate') && !policy.isExcluded('boot_aggregate')) {
    const message = 'boot_aggregate is not listed: every machine fails, unless a measured boot policy gives its value'
    warnings.push({ path: 'digests', message })
  }
  if (policy.digests.get('boot_aggregate')?.some(isEmptyAggregate))
    warnings.push({
      path: 'digests.boot_aggregate',
      message:
        'is all zeros, as the kernel writes it when the TPM has no bank for ima_hash=, SHA-256 or SHA-1: machines after any boot pass',
    })
  if (policy.isExcluded('boot_aggregate') && warnings.length === 0)
    warnings.push({
      path: 'excludes',
      message: 'boot_aggregate is excluded: a log of any boot is accepted; a measured boot policy gives its value',
    })
  warnings.push(...lintDigests(policy.digests))
  if (policy.ignoredKeyrings.has('*') && policy.keys.size > 0)
    warnings.push({ path: 'ima.ignored_keyrings', message: 'keys that the kernel loads are not learned, only verification-keys count' })
  else if (policy.ignoredKeyrings.has('*'))
    warnings.push({
      path: 'ima.ignored_keyrings',
      message: '"*" ignores all keyrings: keys that someone loads into the kernel stay unseen',
    })
  return warnings
}

function lintDigests(digests: RuntimePolicy['digests']): PolicyWarning[] {
  const warnings: PolicyWarning[] = []
  let weak = 0
  for (const [name, list] of digests) {
    const path = `digests[${JSON.stringify(name)}]`
    if (WORLD_WRITABLE.test(name)) warnings.push({ path, message: 'is where every user may write' })
    if (name.includes(' ')) warnings.push({ path, message: 'has a blank, which is "_" in the kernel’s log: it matches nothing' })
    if (!name.startsWith('/') && !NO_FILE.test(name)) warnings.push({ path, message: 'is not an absolute path' })
    if (list.some((digest) => digest.length === SHA1_DIGITS)) weak++
    if (list.some((digest) => !DIGEST_DIGITS.has(digest.length)))
      warnings.push({ path, message: 'has a digest of a length that no kernel measures with: it matches nothing' })
  }
  if (weak > 0)
    warnings.push({
      path: 'digests',
      message: `${weak} ${weak === 1 ? 'name has' : 'names have'} SHA-1 digests, for which collisions can be made`,
    })
  return warnings
}
