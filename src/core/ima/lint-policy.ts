import { compileExcludes } from './excludes.ts'
import type { Digests, RuntimePolicy } from './runtime-policy.ts'

/** Something in a runtime policy that is valid and probably not meant. */
export interface PolicyWarning {
  /** JSON path. */
  path: string
  message: string
}

const PROGRAMS = ['/usr/bin/sudo', '/usr/lib/x86_64-linux-gnu/libc.so.6', '/usr/sbin/sshd', '/bin/sh', '/etc/ld.so.preload']
const WORLD_WRITABLE = /^\/(?:tmp|var\/tmp|dev\/shm)\//
const SHA1_DIGITS = 40

/** @param excludes the expressions of the policy as they stand in it. */
export function lintPolicy(policy: RuntimePolicy, excludes: readonly string[]): PolicyWarning[] {
  const warnings: PolicyWarning[] = excludes.flatMap((expression, i) => lintExclude(expression, `excludes[${i}]`))
  if (!policy.digests.has('boot_aggregate') && !policy.isExcluded('boot_aggregate')) {
    const message = 'boot_aggregate is not listed: every machine fails, unless a measured boot policy gives its value'
    warnings.push({ path: 'digests', message })
  }
  warnings.push(...lintDigests(policy.digests))
  if (policy.keys.size > 0 && policy.ignoredKeyrings.has('*'))
    warnings.push({ path: 'ima.ignored_keyrings', message: 'keys that the kernel loads are not learned, only verification-keys count' })
  return warnings
}

function lintExclude(expression: string, path: string): PolicyWarning[] {
  const excluded = compileExcludes([expression], path)
  const shown = JSON.stringify(expression)
  if (excluded('')) return [{ path, message: `${shown} matches the empty text, so it excludes every file: the policy checks nothing` }]
  if (PROGRAMS.every(excluded)) return [{ path, message: `${shown} excludes programs and libraries everywhere: the policy checks nothing` }]
  const programs = PROGRAMS.filter(excluded)
  if (programs.length > 0) return [{ path, message: `${shown} excludes ${programs.join(', ')}: what is replaced there stays unseen` }]
  if (/^\/[\w/.-]*\w$/.test(expression) && excluded(`${expression}x`))
    return [{ path, message: `${shown} also excludes names that go on, like ${expression}x: end it with "/" or "$"` }]
  if (/^[\w.-]+$/.test(expression) && expression !== 'boot_aggregate' && !expression.startsWith('.'))
    return [{ path, message: `${shown} is matched from the beginning of the path, which begins with "/": it excludes nothing` }]
  return []
}

function lintDigests(digests: Digests): PolicyWarning[] {
  const warnings: PolicyWarning[] = []
  let weak = 0
  for (const [name, list] of digests) {
    if (WORLD_WRITABLE.test(name)) warnings.push({ path: `digests[${JSON.stringify(name)}]`, message: 'lies where every user may write' })
    if (typeof list === 'string' ? list.length === SHA1_DIGITS : list.some((digest) => digest.length === SHA1_DIGITS)) weak++
  }
  if (weak > 0) warnings.push({ path: 'digests', message: `${weak} names have SHA-1 digests, for which collisions can be made` })
  return warnings
}
