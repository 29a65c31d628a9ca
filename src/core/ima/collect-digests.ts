import { readEntry } from './entry.ts'
import { readImaKey } from './keyring.ts'

/** Digests that are gathered into a runtime policy; sets, so that nothing is listed twice. */
export interface Collected {
  digests: Map<string, Set<string>>
  keyrings: Map<string, Set<string>>
  buffers: Map<string, Set<string>>
}

export const emptyCollection = (): Collected => ({ digests: new Map(), keyrings: new Map(), buffers: new Map() })

export function addDigest(to: Map<string, Set<string>>, name: string, digest: string): void {
  const known = to.get(name)
  if (known) known.add(digest)
  else to.set(name, new Set([digest]))
}

/** Adds what a log shows: files, measured keys and other buffers. Violations have no digest. @returns the lines that cannot be read, counted from 1. */
export function collectLog(log: string, into: Collected): number[] {
  const unread: number[] = []
  for (const [i, line] of log.split('\n').entries()) {
    if (line === '') continue
    const entry = readEntry(line)
    if (typeof entry === 'string') unread.push(i + 1)
    else if (/^0+$/.test(entry.column) || /^0+$/.test(entry.digest)) continue
    else if (entry.template !== 'ima-buf') addDigest(into.digests, entry.name, entry.digest)
    else addDigest(readImaKey(entry.extra) ? into.keyrings : into.buffers, entry.name, entry.digest)
  }
  return unread
}

/** Adds a flat allow list: digest, blanks, path, as `sha256sum` prints them; `%keyring:NAME` is a keyring. @returns the lines that cannot be read. */
export function collectAllowList(text: string, into: Collected): number[] {
  const unread: number[] = []
  for (const [i, line] of text.split('\n').entries()) {
    if (line.trim() === '') continue
    const [, digest, path] = /^\s*([0-9a-fA-F]{40,128})\s+(.+?)\r?$/.exec(line) ?? []
    if (!digest || !path) unread.push(i + 1)
    else if (path.startsWith('%keyring:')) addDigest(into.keyrings, path.slice('%keyring:'.length), digest.toLowerCase())
    else addDigest(into.digests, path, digest.toLowerCase())
  }
  return unread
}

interface PolicyParts {
  collected: Collected
  excludes: readonly string[]
  ignoredKeyrings: readonly string[]
  logHash: string
  verificationKeys: string
  /** ISO text of now. */
  timestamp: string
}

/** A runtime policy of version 1 (policies A.9), names in order, so that two of them can be compared line by line. */
export function policyDocument({ collected, excludes, ignoredKeyrings, logHash, verificationKeys, timestamp }: PolicyParts): object {
  const sorted = (map: Map<string, Set<string>>) => Object.fromEntries([...map].sort(byName).map(([name, set]) => [name, [...set].sort()]))
  return {
    meta: { version: 1, generator: 3, timestamp },
    release: 0,
    digests: sorted(collected.digests),
    excludes,
    keyrings: sorted(collected.keyrings),
    ima: { ignored_keyrings: ignoredKeyrings, log_hash_alg: logHash, dm_policy: null },
    'ima-buf': sorted(collected.buffers),
    'verification-keys': verificationKeys,
  }
}

const byName = ([a]: readonly [string, unknown], [b]: readonly [string, unknown]) => (a < b ? -1 : 1)
