import { parseBoundedJsonText, policyJson } from '../api/bounded-json.ts'
import { KeylimeError } from '../errors.ts'
import { type HashName, isHashName } from '../tpm/algorithms.ts'
import { buildDigestTable } from './build-digest-table.ts'
import { type DmPolicy, parseDmPolicy } from './device-mapper/dm-policy.ts'
import type { DigestTable } from './digest-table.ts'
import { compileExcludes, type Excludes } from './excludes.ts'
import { type KeyLookup, parseKeyring } from './keyring.ts'

/** A runtime policy of version 1, checked (policies A.9). */
export interface RuntimePolicy {
  /** Upstream's number for how the policy was made; only above 1 counts as "has a runtime policy". */
  generator: number
  /** Accepted digests of a name, lower-case hex without the algorithm. */
  digests: DigestTable
  keyrings: DigestTable
  buffers: DigestTable
  /** The expressions of `isExcluded`. */
  excludes: readonly string[]
  isExcluded: Excludes
  /** Keyrings whose keys are neither checked nor learned; `*` is all of them. */
  ignoredKeyrings: ReadonlySet<string>
  /** Algorithm of the template hash column. */
  logHash: HashName
  /** Keys trusted for file signatures. */
  keys: KeyLookup
  /** `ima.dm_policy`: rules for the events of the device mapper; null when they are buffers like any other. */
  deviceMapper: DmPolicy | null
  /**
   * What upstream stores for agents without a policy (generator 0 or 1, nothing in it). Upstream judges by it all the same when PCR 10 is quoted, and every
   * file fails; whoever takes it as "no policy" must refuse a quote of PCR 10 too.
   */
  isEmpty: boolean
}

const DIGEST = /^[0-9a-f]{40,128}$/
/** Characters of the text of a policy. */
export const MAX_POLICY_TEXT: number = 100 << 20
/** Characters of a name in it. */
export const MAX_NAME = 8192
const PLAIN_NAME = /^[\w-]+$/

/**
 * Checks the whole policy before anything is judged by it. Unknown members are accepted, as upstream does.
 * @throws KeylimeError `invalid_request` whose message begins with the JSON path: `digests["/bin/x"][0]: …`.
 */
export function parseRuntimePolicy(text: string): RuntimePolicy {
  demandLength(text.length)
  return runtimePolicyOf(parseBoundedJsonText(text, 'the runtime policy', policyJson(text.length)), text.length)
}

function demandLength(length: number): void {
  if (length > MAX_POLICY_TEXT) throw bad('the runtime policy', `has ${length} characters, at most ${MAX_POLICY_TEXT} are accepted`)
}

/** The same of a text that was parsed. @param length of the text. @throws as `parseRuntimePolicy`. */
export function runtimePolicyOf(json: unknown, length: number): RuntimePolicy {
  demandLength(length)
  const policy = object(json, 'the runtime policy')
  const meta = object(policy['meta'], 'meta')
  natural(meta['version'], 'meta.version', Number.MAX_SAFE_INTEGER)
  natural(policy['release'], 'release', Number.MAX_SAFE_INTEGER)
  const ima = object(policy['ima'], 'ima')
  const logHash = ima['log_hash_alg']
  if (typeof logHash !== 'string' || !isHashName(logHash))
    throw bad('ima.log_hash_alg', orMissing(logHash, 'must be sha1, sha256, sha384 or sha512'))
  const keys = policy['verification-keys']
  if (typeof keys !== 'string') throw bad('verification-keys', orMissing(keys, 'must be a text, "" for none'))
  const excludes = texts(policy['excludes'], 'excludes')
  const parsed = {
    generator: natural(meta['generator'], 'meta.generator', 3),
    digests: digestTable(policy['digests'], 'digests'),
    keyrings: digestTable(policy['keyrings'], 'keyrings'),
    buffers: digestTable(policy['ima-buf'], 'ima-buf'),
    excludes,
    isExcluded: compileExcludes(excludes, 'excludes'),
    ignoredKeyrings: new Set(texts(ima['ignored_keyrings'], 'ima.ignored_keyrings')),
    logHash,
    keys: parseKeyring(keys, 'verification-keys'),
    deviceMapper: ima['dm_policy'] == null ? null : parseDmPolicy(ima['dm_policy'], 'ima.dm_policy'),
  }
  const members = [parsed.digests, parsed.keyrings, parsed.buffers, parsed.ignoredKeyrings, parsed.keys]
  const isEmpty = parsed.generator <= 1 && !parsed.deviceMapper && excludes.length === 0 && members.every(({ size }) => size === 0)
  return { ...parsed, isEmpty }
}

/** A member that is not there is not malformed. */
const orMissing = (value: unknown, what: string): string => (value === undefined ? 'is missing' : what)

const bad = (path: string, what: string) => new KeylimeError('invalid_request', `${path}: ${what}`)

function object(value: unknown, path: string): Record<string, unknown> {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw bad(path, orMissing(value, 'is not an object'))
  return value as Record<string, unknown>
}

function natural(value: unknown, path: string, max: number): number {
  if (typeof value !== 'number' || !Number.isInteger(value) || value < 0 || value > max)
    throw bad(path, orMissing(value, max > 3 ? 'must be a whole number' : `must be a whole number from 0 to ${max}`))
  return value
}

function texts(value: unknown, path: string): string[] {
  if (!Array.isArray(value)) throw bad(path, orMissing(value, 'must be a list of texts'))
  const wrong = value.findIndex((item) => typeof item !== 'string')
  if (wrong >= 0) throw bad(`${path}[${wrong}]`, 'must be a text')
  return value
}

function digestTable(value: unknown, path: string): DigestTable {
  const source = object(value, path)
  const names = Object.keys(source)
  return buildDigestTable(
    names,
    names.map((name) => digestList(source[name], name, path)),
  )
}

function digestList(list: unknown, name: string, path: string): string[] {
  const at = () => `${path}${PLAIN_NAME.test(name) ? `.${name}` : `[${JSON.stringify(name.slice(0, 200))}]`}`
  if (name.length > MAX_NAME) throw bad(at(), `the name has ${name.length} characters`)
  if (!Array.isArray(list) || list.length === 0) throw bad(at(), 'must be a list of at least one digest')
  for (let i = 0; i < list.length; i++)
    if (typeof list[i] !== 'string' || !DIGEST.test(list[i])) throw bad(`${at()}[${i}]`, 'must be 40 to 128 lower-case hexadecimal digits')
  return list
}
