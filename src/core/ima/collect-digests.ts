import { addDigest, type PolicyParts } from './policy-document.ts'

/** A path as the kernel's log has it: blanks are underscores there. */
export const loggedName = (path: string): string => path.replaceAll(' ', '_')

/**
 * Adds a flat allow list: digest, blanks, path, in all forms that `sha256sum` prints (escaped names, binary mode, `--tag`, `--zero`); `%keyring:NAME` is a keyring.
 * @returns the lines that cannot be read.
 */
export function collectAllowList(text: string, into: PolicyParts): number[] {
  const unread: number[] = []
  for (const [i, line] of text.split(text.includes('\0') ? '\0' : '\n').entries()) {
    if (line.trim() === '') continue
    const { digest, name } = readListLine(line) ?? {}
    if (digest === undefined || name === undefined) unread.push(i + 1)
    else if (name.startsWith('%keyring:')) addDigest(into.keyrings, name.slice('%keyring:'.length), digest)
    else addDigest(into.digests, loggedName(name), digest)
  }
  return unread
}

/** A backslash before the line says that the name has escapes: `\\\\`, `\\n`, `\\r`. Binary mode has a star where text mode has a second blank. */
function readListLine(line: string): { digest: string; name: string } | null {
  const [, tagEscape, tagged, value] = /^(\\?)[A-Z][\w/-]* \((.+)\) = ([0-9a-fA-F]{40,128})\s*$/s.exec(line) ?? []
  if (tagged && value) return { digest: value.toLowerCase(), name: tagEscape ? unescaped(tagged) : tagged }
  const [, mark, digest, rest] = /^\s*(\\?)([0-9a-fA-F]{40,128})(?: \*|\s+)(\S.*?)\s*$/s.exec(line) ?? []
  if (!digest || !rest) return null
  return { digest: digest.toLowerCase(), name: mark ? unescaped(rest) : rest }
}

const ESCAPES: Record<string, string> = { '\\': '\\', n: '\n', r: '\r' }
const unescaped = (name: string): string => name.replace(/\\([\\nr])/g, (_, letter: string) => ESCAPES[letter]!)

const SHA1_DIGITS = 40

/** Digits of the digests, by the first one of a file; null where nothing says them: kernels before 5.8 have a boot_aggregate of SHA-1 whatever they hash files with. */
export function digitsOf(digests: Iterable<[string, readonly string[]]>): number | null {
  let aggregate: number | null = null
  for (const [name, [digest]] of digests) {
    if (digest === undefined) continue
    if (name !== 'boot_aggregate') return digest.length
    aggregate = digest.length
  }
  return aggregate === SHA1_DIGITS ? null : aggregate
}

/** One expression a line; empty lines and comments do not count. */
export const expressionsOf = (text: string): string[] =>
  text
    .split('\n')
    .map((line) => line.trim())
    .filter((line) => line !== '' && !line.startsWith('#'))
