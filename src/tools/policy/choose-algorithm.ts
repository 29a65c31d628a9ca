import { KeylimeError } from '../../core/errors.ts'
import { KERNEL_HASHES } from '../../core/ima/kernel-hashes.ts'

/** What a source says of the algorithm of its digests: a log has its name, a list only the number of digits. */
export interface Said {
  source: string
  algorithm: string | { digits: number } | null
}

/** Upstream's name of SM3, and the one of older kernels. */
const ALIASES: Record<string, string> = { sm3_256: 'sm3', 'sm3-256': 'sm3' }
/** Algorithms by which files can be hashed for a policy, which holds digests of 20 to 64 bytes. */
export const FILE_ALGORITHMS: readonly string[] = [
  ...[...KERNEL_HASHES].filter(([name, { size, node }]) => node !== null && size >= 20 && !(name in ALIASES)).map(([name]) => name),
  'sm3_256',
]
const BY_DIGITS: Record<number, string> = { 40: 'sha1', 56: 'sha224', 64: 'sha256', 96: 'sha384', 128: 'sha512' }

/**
 * The one algorithm for files, as `createHash` calls it: what was asked for, else what the lists use, else SHA-256. The kernel uses one algorithm, so digests
 * of another would never match. @param isNeeded files are hashed. @throws KeylimeError `conflict` when two disagree, `invalid_request` for one that cannot be used here.
 */
export function chooseAlgorithm(asked: string | undefined, said: readonly Said[], isNeeded: boolean): string {
  let [source, chosen] = ['--algo', asked === undefined ? null : plainName(asked)]
  for (const { source: other, algorithm } of said) {
    if (typeof algorithm !== 'string') continue
    if (chosen !== null && chosen !== plainName(algorithm)) throw conflict(`${other} has ${algorithm} digests`, source, chosen)
    if (chosen === null) [source, chosen] = [other, plainName(algorithm)]
  }
  for (const { source: other, algorithm } of said) {
    if (typeof algorithm === 'string' || algorithm === null) continue
    const { digits } = algorithm
    if (![...KERNEL_HASHES.values()].some(({ size }) => 2 * size === digits))
      throw new KeylimeError('invalid_request', `${other} has digests of ${digits} digits, which no kernel measures with`)
    const size = chosen === null ? null : KERNEL_HASHES.get(chosen)?.size
    if (size !== null && size !== undefined && 2 * size !== digits)
      throw conflict(`${other} has digests of ${digits} digits (${BY_DIGITS[digits] ?? 'of no known algorithm'})`, source, chosen!)
    if (chosen === null) [source, chosen] = [other, BY_DIGITS[digits] ?? `${digits} digits`]
  }
  const node = KERNEL_HASHES.get(chosen ?? 'sha256')?.node ?? null
  if (node === null && isNeeded)
    throw new KeylimeError('invalid_request', `${source} has digests of an algorithm that cannot hash files here (${chosen})`)
  return node ?? 'sha256'
}

const plainName = (name: string): string => ALIASES[name] ?? name

const conflict = (what: string, source: string, chosen: string) =>
  new KeylimeError('conflict', `${what}, ${source} says ${chosen}`, {
    hint: 'a kernel hashes with one algorithm (ima_hash=): make one policy for each, then `keylime policy merge` them',
  })
