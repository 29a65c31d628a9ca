import { readEntry } from './entry.ts'
import { looksLikeKey, readImaKey } from './keyring.ts'
import { addDigest, type PolicyParts } from './policy-document.ts'

/** Which entries of a log are gathered. */
export interface LogMembers {
  files: boolean
  keyrings: boolean
  buffers: boolean
}

/** Adds what a log shows. Violations have no digest. @returns the lines that cannot be read, counted from 1. */
export function collectLog(log: string, into: PolicyParts, members: LogMembers): number[] {
  const unread: number[] = []
  for (const [i, line] of log.split('\n').entries()) {
    if (line === '') continue
    const entry = readEntry(line)
    if (typeof entry === 'string') unread.push(i + 1)
    else if (/^0+$/.test(entry.column) && entry.name !== 'boot_aggregate') continue
    else if (entry.template !== 'ima-buf') {
      if (members.files) addDigest(into.digests, entry.name, entry.digest)
    } else if (!looksLikeKey(entry.extra) || !readImaKey(entry.extra)) {
      if (members.buffers) addDigest(into.buffers, entry.name, entry.digest)
    } else if (members.keyrings && !into.ignoredKeyrings.has(entry.name)) addDigest(into.keyrings, entry.name, entry.digest)
  }
  return unread
}

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

/** Algorithm of digests by the length of the first one: `unknown` for a length that none has, null without digests. */
export function algorithmOfDigests(digests: ReadonlyMap<string, ReadonlySet<string>>): string | null {
  const [first] = digests.values()
  const [digest] = first ?? []
  if (digest === undefined) return null
  return ({ 40: 'sha1', 64: 'sha256', 96: 'sha384', 128: 'sha512' } as Record<number, string>)[digest.length] ?? 'unknown'
}

/** Algorithm that the kernel of a log hashes files with: that of its boot_aggregate. Null when the log begins with something else. */
export function algorithmOfLog(log: string): string | null {
  const entry = readEntry(log.slice(0, Math.max(0, log.indexOf('\n'))) || log)
  return typeof entry === 'string' || entry.name !== 'boot_aggregate' ? null : entry.algorithm
}

/** One expression a line; empty lines and comments do not count. */
export const expressionsOf = (text: string): string[] =>
  text
    .split('\n')
    .map((line) => line.trim())
    .filter((line) => line !== '' && !line.startsWith('#'))
