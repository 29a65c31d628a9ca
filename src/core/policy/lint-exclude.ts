import { compileExcludes, type Excludes } from '../ima/excludes.ts'
import type { PolicyWarning } from './policy-warning.ts'

const PROGRAMS = [
  '/usr/bin/sudo',
  '/usr/bin/x',
  '/usr/lib/x86_64-linux-gnu/libc.so.6',
  '/usr/sbin/sshd',
  '/usr/local/bin/x',
  '/bin/sh',
  '/etc/ld.so.preload',
]
/** Where every user may write: what is excluded there runs unseen. */
const DROPPED = ['/tmp/x', '/var/tmp/x', '/dev/shm/x']
/** Names in logs that are no paths: of files without one, of buffers, of keyrings. */
const PATHLESS = [
  'boot_aggregate',
  'memfd:x',
  'anon_inode:[x]',
  'SYSV00000000',
  'kexec-cmdline',
  'kernel_version',
  'selinux-state',
  'selinux-policy-hash',
  'dm_table_load',
  'dm_device_resume',
  'dm_device_remove',
  'dm_table_clear',
  'dm_device_rename',
  'dm_target_update',
  '.ima',
  '_ima',
  '.evm',
  '_evm',
  '.builtin_trusted_keys',
  '.secondary_trusted_keys',
  '.machine',
  '.platform',
  '.blacklist',
]
const MAX_SHOWN = 200

/** Whether one of a policy's excludes is dangerous: a dozen look-ups, whatever their number. */
export const isTooWide = (excluded: Excludes): boolean => ['', ...PROGRAMS, ...DROPPED].some(excluded)

/** What an exclude matches that it should not: it is matched from the beginning of a path and not to its end (policies A.8). */
export function lintExclude(expression: string, path: string): PolicyWarning[] {
  const excluded = compileExcludes([expression], path)
  const shown = JSON.stringify(expression.slice(0, MAX_SHOWN))
  const warn = (message: string): PolicyWarning[] => [{ path, message: `${shown} ${message}` }]
  const danger = (message: string): PolicyWarning[] => [{ path, message: `${shown} ${message}`, dangerous: true }]
  if (excluded('')) return danger('matches the empty text, so it excludes every file: the policy checks nothing')
  if (PROGRAMS.every(excluded)) return danger('excludes programs and libraries everywhere: the policy checks nothing')
  const programs = PROGRAMS.filter(excluded)
  if (programs.length > 0) return danger(`excludes ${programs.join(', ')}: what is replaced there stays unseen`)
  const dropped = DROPPED.filter(excluded)
  if (dropped.length > 0) return danger(`excludes ${dropped.join(', ')}: every user can put a program there and run it unseen`)
  if (/^\/[\w/.-]*\w$/.test(expression) && excluded(`${expression}x`))
    return warn(`also excludes longer names, like ${expression}x: end it with "/" or "$"`)
  if (/^[\w.-]+$/.test(expression) && !PATHLESS.some(excluded))
    return warn('is matched from the beginning of a path, which begins with "/": it excludes no file that has a path')
  return []
}
