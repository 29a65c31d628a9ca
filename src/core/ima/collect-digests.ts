import { addDigest, type PolicyParts } from './policy-document.ts'

/** A path as the kernel's log has it: blanks are underscores there. */
export const loggedName = (path: string): string => path.replaceAll(' ', '_')

/** Adds a flat allow list: digest, blanks, path, as `sha256sum` prints them; `%keyring:NAME` is a keyring. @returns the lines that cannot be read. */
export function collectAllowList(text: string, into: PolicyParts): number[] {
  const unread: number[] = []
  for (const [i, line] of text.split('\n').entries()) {
    if (line.trim() === '') continue
    const [, digest, path] = /^\s*([0-9a-fA-F]{40,128})\s+(\S.*?)\s*$/.exec(line) ?? []
    if (!digest || !path) unread.push(i + 1)
    else if (path.startsWith('%keyring:')) addDigest(into.keyrings, path.slice('%keyring:'.length), digest.toLowerCase())
    else addDigest(into.digests, loggedName(path), digest.toLowerCase())
  }
  return unread
}

/** Digits of the digests, by the first one of a file; null without digests. Older kernels have a boot_aggregate of another algorithm. */
export function digitsOf(digests: Iterable<[string, readonly string[]]>): number | null {
  let aggregate: number | null = null
  for (const [name, [digest]] of digests) {
    if (digest === undefined) continue
    if (name !== 'boot_aggregate') return digest.length
    aggregate = digest.length
  }
  return aggregate
}

/** One expression a line; empty lines and comments do not count. */
export const expressionsOf = (text: string): string[] =>
  text
    .split('\n')
    .map((line) => line.trim())
    .filter((line) => line !== '' && !line.startsWith('#'))
