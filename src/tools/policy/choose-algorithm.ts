import { KeylimeError } from '../../core/errors.ts'

/** Algorithms by which files can be hashed, and their names here. */
const NODE_NAMES: Record<string, string> = { sha1: 'sha1', sha256: 'sha256', sha384: 'sha384', sha512: 'sha512', sm3_256: 'sm3' }
export const FILE_ALGORITHMS = Object.keys(NODE_NAMES)

/**
 * The one algorithm for files, as `createHash` calls it: what was asked for, else what the lists use, else SHA-256. The kernel uses one algorithm, so digests
 * of another would never match. @throws KeylimeError `conflict` when two disagree; 64 digits may be SHA-256 or SM3.
 */
export function chooseAlgorithm(asked: string | undefined, said: readonly [source: string, algorithm: string | null][]): string {
  let chosen: [source: string, algorithm: string] | undefined = asked ? ['--algo', asked] : undefined
  for (const [source, algorithm] of said) {
    if (algorithm === null) continue
    if (!(algorithm in NODE_NAMES))
      throw new KeylimeError('invalid_request', `${source}: has digests of an algorithm that is not known here (${algorithm})`)
    if (!chosen || (chosen[1] === 'sha256' && algorithm === 'sm3_256' && chosen[0] !== '--algo')) chosen = [source, algorithm]
    else if (chosen[1] !== algorithm && !(chosen[1] === 'sm3_256' && algorithm === 'sha256'))
      throw new KeylimeError('conflict', `${source} has ${algorithm} digests, ${chosen[0]} says ${chosen[1]}`, {
        hint: 'a kernel hashes with one algorithm (ima_hash=): make one policy for each, then `keylime policy merge` them',
      })
  }
  return NODE_NAMES[chosen?.[1] ?? 'sha256']!
}
