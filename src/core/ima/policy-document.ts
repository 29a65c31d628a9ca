import { KeylimeError } from '../errors.ts'
import { sameKey } from '../pki/keys.ts'
import { DigestSets } from './digest-sets.ts'
import { type Keyring, keyringText, parseKeyring } from './keyring.ts'
import { MAX_NAME, MAX_POLICY_TEXT, parseRuntimePolicy } from './runtime-policy.ts'

/** What a runtime policy is made of, while it is made: sets, so that nothing is listed twice. */
export interface PolicyParts {
  digests: DigestSets
  keyrings: Map<string, Set<string>>
  buffers: Map<string, Set<string>>
  excludes: Set<string>
  ignoredKeyrings: Set<string>
  /** `ima.log_hash_alg`; null until somebody says it. */
  logHash: string | null
  /** `ima.dm_policy`, as it came. */
  dmPolicy: unknown
  keys: Map<number, Keyring extends ReadonlyMap<number, infer K> ? K : never>
  /** Members that nobody here knows: kept as they are. */
  others: Record<string, unknown>
}

/** Upstream's numbers for how a policy was made. */
export const GENERATOR = { compatible: 2, made: 3 } as const

const MAPS = { digests: 'digests', keyrings: 'keyrings', 'ima-buf': 'buffers' } as const
const KNOWN = new Set(['meta', 'release', 'digests', 'excludes', 'keyrings', 'ima', 'ima-buf', 'verification-keys'])
const DIGEST = /^[0-9a-f]{40,128}$/

export const emptyParts = (): PolicyParts => ({
  digests: new DigestSets(),
  keyrings: new Map(),
  buffers: new Map(),
  excludes: new Set(),
  ignoredKeyrings: new Set(),
  logHash: null,
  dmPolicy: null,
  keys: new Map(),
  others: {},
})

/** Digests by name: what a policy lists of files, keys or buffers. */
type Digests = Map<string, Set<string>> | DigestSets

export function addDigest(to: Digests, name: string, digest: string): void {
  if (to instanceof DigestSets) {
    to.add(name, digest)
    return
  }
  const known = to.get(name)
  if (known) known.add(digest)
  else to.set(name, new Set([digest]))
}

/**
 * Adds a runtime policy, or a part of one such as `{"digests": {…}}`; nothing that is there is dropped. @param source named in errors.
 * @throws KeylimeError `conflict` when the two cannot be one, `invalid_request` for what is no policy.
 */
export function addPolicy(parts: PolicyParts, policy: Record<string, unknown>, source: string): void {
  const wrong = (what: string, cause?: unknown) => new KeylimeError('invalid_request', `${source}: ${what}`, { cause })
  for (const [member, part] of Object.entries(MAPS)) addDigests(parts[part], policy[member], (at, what) => wrong(`${member}${at}: ${what}`))
  const ima = (policy['ima'] ?? {}) as Record<string, unknown>
  for (const text of texts(policy['excludes'], () => wrong('excludes: must be a list of texts'))) parts.excludes.add(text)
  for (const name of texts(ima['ignored_keyrings'], () => wrong('ima.ignored_keyrings: must be a list of texts')))
    parts.ignoredKeyrings.add(name)
  addDmPolicy(parts, ima['dm_policy'] ?? null, source)
  addLogHash(parts, ima['log_hash_alg'], source)
  const keys = policy['verification-keys'] ?? ''
  if (typeof keys !== 'string') throw wrong('verification-keys: must be a text, "" for none')
  addKeys(parts, parseKeyring(keys, `${source}: verification-keys`), source)
  for (const [name, value] of Object.entries(policy)) if (!KNOWN.has(name)) parts.others[name] ??= value
}

function addLogHash(parts: PolicyParts, logHash: unknown, source: string): void {
  if (logHash === undefined) return
  if (typeof logHash !== 'string') throw new KeylimeError('invalid_request', `${source}: ima.log_hash_alg: must be a text`)
  if (parts.logHash !== null && parts.logHash !== logHash)
    throw new KeylimeError('conflict', `${source}: ima.log_hash_alg is ${logHash}, the policy so far has ${parts.logHash}`, {
      hint: 'the two are for kernels with different logs: keep them as two policies',
    })
  parts.logHash = logHash
}

/** Rules are tried in order, so two sets of them do not make one. */
function addDmPolicy(parts: PolicyParts, dmPolicy: unknown, source: string): void {
  if (dmPolicy === null) return
  if (parts.dmPolicy !== null && JSON.stringify(parts.dmPolicy) !== JSON.stringify(dmPolicy))
    throw new KeylimeError('conflict', `${source}: ima.dm_policy is a different one than in the policy so far`, {
      hint: 'put the rules of both into one of the files, in the order in which they should be tried',
    })
  parts.dmPolicy = dmPolicy
}

/** @throws KeylimeError `conflict` for a key id that stands for another key. */
export function addKeys(parts: PolicyParts, keys: Keyring, source: string): void {
  for (const [id, key] of keys) {
    const known = parts.keys.get(id)
    if (known && !sameKey(known, key))
      throw new KeylimeError(
        'conflict',
        `${source}: key id 0x${id.toString(16).padStart(8, '0')} stands for another key in the policy so far`,
      )
    parts.keys.set(id, key)
  }
}

/**
 * The text of the policy (policies A.9), names in order, so that two of them can be compared line by line. @param timestamp ISO text of now.
 * @throws KeylimeError `invalid_request`: what we make is what the verifier takes.
 */
export const policyText = (parts: PolicyParts, made: { timestamp: string; generator: number }): string =>
  [...policyPieces(parts, made)].join('')

/** The same piece by piece: of a million names the text is larger than all else. @throws KeylimeError `invalid_request`, before the last piece. */
export function* policyPieces(parts: PolicyParts, { timestamp, generator }: { timestamp: string; generator: number }): Generator<string> {
  const document = {
    meta: { version: 1, generator, timestamp },
    release: 0,
    digests: {},
    excludes: [...parts.excludes],
    keyrings: sorted(parts.keyrings),
    ima: { ignored_keyrings: [...parts.ignoredKeyrings], log_hash_alg: parts.logHash ?? 'sha1', dm_policy: parts.dmPolicy },
    'ima-buf': sorted(parts.buffers),
    'verification-keys': parts.keys.size > 0 ? keyringText(parts.keys) : '',
    ...parts.others,
  }
  const text = `${JSON.stringify(document, null, 1)}\n`
  parseRuntimePolicy(text)
  const at = text.indexOf(EMPTY_DIGESTS)
  let length = text.length
  yield text.slice(0, at)
  for (const piece of digestPieces(parts.digests)) {
    length += piece.length
    if (length > MAX_POLICY_TEXT)
      throw new KeylimeError('invalid_request', `the runtime policy has over ${MAX_POLICY_TEXT} characters`, {
        hint: 'leave out what needs no digest (--exclude-list), or sign files and list the keys (--verification-keys): some 700,000 files fit',
      })
    yield piece
  }
  yield text.slice(at + EMPTY_DIGESTS.length)
}

const EMPTY_DIGESTS = ' "digests": {}'
const PIECE = 1 << 16

function* digestPieces(digests: DigestSets): Generator<string> {
  let piece = ' "digests": {'
  let isFirst = true
  for (const [name, list] of digests.inOrder()) {
    if (name.length > MAX_NAME)
      throw new KeylimeError('invalid_request', `digests[${JSON.stringify(name.slice(0, 200))}]: the name has ${name.length} characters`)
    const lines = list.map((digest) => `   "${digest}"`).join(',\n')
    piece += `${isFirst ? '' : ','}\n  ${JSON.stringify(name)}: [\n${lines}\n  ]`
    isFirst = false
    if (piece.length < PIECE) continue
    yield piece
    piece = ''
  }
  yield isFirst ? EMPTY_DIGESTS : `${piece}\n }`
}

/** Names in order, each with its digests in order. */
export const sorted = (map: Digests): Record<string, string[]> =>
  Object.fromEntries(
    map instanceof DigestSets
      ? map.inOrder()
      : [...map].sort(([a], [b]) => (a < b ? -1 : 1)).map(([name, set]): [string, string[]] => [name, [...set].sort()]),
  )

function addDigests(to: Digests, value: unknown, wrong: (at: string, what: string) => KeylimeError): void {
  if (value === undefined) return
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw wrong('', 'is not an object')
  for (const [name, list] of Object.entries(value)) {
    const at = `[${JSON.stringify(name.slice(0, 200))}]`
    for (const digest of texts(list, () => wrong(at, 'must be a list of digests'))) {
      if (!DIGEST.test(digest.toLowerCase())) throw wrong(at, 'must be 40 to 128 hexadecimal digits')
      addDigest(to, name, digest.toLowerCase())
    }
  }
}

function texts(value: unknown, wrong: () => KeylimeError): string[] {
  if (value === undefined) return []
  if (!Array.isArray(value) || value.some((item) => typeof item !== 'string')) throw wrong()
  return value
}
