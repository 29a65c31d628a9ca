import type { PolicyWarning } from './policy-warning.ts'
import { parseTpmPolicy } from './tpm-policy.ts'

const SHA1_DIGITS = 40

/** What in a tpm_policy is valid and probably not meant. @throws KeylimeError `invalid_request` for what is none. */
export function lintTpmPolicy(text: string): PolicyWarning[] {
  const { allowed, mask } = parseTpmPolicy(text)
  if (allowed.size === 0) return [{ path: 'tpm_policy', message: 'no PCR is listed: every machine is accepted' }]
  return [...allowed].flatMap(([pcr, digests]) => {
    const warn = (message: string): PolicyWarning => ({ path: `["${pcr}"]`, message })
    const plain = digests.filter((digest) => /^(?:0+|f+)$/.test(digest))
    return [
      ...(mask & (1 << pcr) ? [] : [warn(`PCR ${pcr} is not in the mask: it is not quoted, and every machine fails`)]),
      ...(digests.length === 0 ? [warn(`PCR ${pcr} has no value: every machine fails`)] : []),
      ...(plain.length > 0 ? [warn('accepts the value of a PCR into which nothing was measured')] : []),
      ...(digests.some((digest) => digest.length === SHA1_DIGITS) ? [warn('has SHA-1 values, for which collisions can be made')] : []),
      ...(pcr >= 17 && pcr <= 22 ? [warn('belongs to a dynamic launch (DRTM): without one it says nothing')] : []),
      ...(pcr === 23 ? [warn('can be reset by any program')] : []),
    ]
  })
}

/** What in a reference state is valid and probably not meant; `accept-all` files demand nothing but the replay. */
export function lintBootPolicy(state: Record<string, unknown>): PolicyWarning[] {
  const warnings: PolicyWarning[] = []
  const list = (value: unknown): unknown[] => (Array.isArray(value) ? value : [])
  if (Object.keys(state).length === 0)
    return [{ path: 'mb_policy', message: 'is empty: it judges nothing, and no boot log is compared with the quote', dangerous: true }]
  if (!('scrtm_and_bios' in state) && !('kernels' in state))
    return [
      {
        path: 'mb_policy',
        message: 'lists no firmware and no kernel: whatever boots is accepted if its log matches the quote',
        dangerous: true,
      },
    ]
  if (state['has_secureboot'] === false)
    warnings.push({ path: 'has_secureboot', message: 'is false: machines whose firmware checks nothing are accepted' })
  for (const [i, kernel] of list(state['kernels']).entries()) {
    const line = String((kernel as { kernel_cmdline?: unknown } | null)?.kernel_cmdline ?? '')
    if (/^\^?\(?\.\*\)?\$?$/.test(line))
      warnings.push({
        path: `kernels[${i}].kernel_cmdline`,
        message: `${JSON.stringify(line)} accepts any command line: init=/bin/sh, or IMA switched off`,
        dangerous: true,
      })
    else if (line.includes('.*'))
      warnings.push({
        path: `kernels[${i}].kernel_cmdline`,
        message: `${JSON.stringify(line.slice(0, 200))} has ".*": anything can be added there`,
        dangerous: true,
      })
  }
  for (const member of ['scrtm_and_bios', 'kernels'])
    if (member in state && list(state[member]).length === 0) warnings.push({ path: member, message: 'is empty: every machine fails' })
  return warnings
}
