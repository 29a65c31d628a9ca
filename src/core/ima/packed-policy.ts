import { sharedText } from './build-digest-table.ts'
import { parseDmPolicy } from './device-mapper/dm-policy.ts'
import { DigestTable, type PackedDigests } from './digest-table.ts'
import { compileExcludes } from './excludes.ts'
import { keyringText, LazyKeys } from './keyring.ts'
import type { RuntimePolicy } from './runtime-policy.ts'

/** A runtime policy as threads hand it on: what is large is memory that they share, so nothing is parsed again and nothing copied. */
export interface PackedPolicy extends Pick<RuntimePolicy, 'generator' | 'logHash' | 'isEmpty'> {
  digests: PackedDigests
  keyrings: PackedDigests
  buffers: PackedDigests
  /** JSON text in UTF-8 of a `Rest`: what has no form as bytes, and must be made anew by whoever takes the policy up. */
  rest: SharedArrayBuffer
  /** What making its expressions costs: `Excludes.toMake`, and of the rules for the device mapper. */
  steps: number
}

interface Rest {
  excludes: readonly string[]
  ignoredKeyrings: string[]
  dmPolicy: unknown
  keys: string
}

/** Expressions of so many steps take some 20 ms to compile: a list by hand stays far below. */
const LIGHT_STEPS = 4000
/** Of text that is parsed when a policy is taken up. */
const LIGHT_BYTES = 256 << 10

export function packPolicy(policy: RuntimePolicy): PackedPolicy {
  const { generator, logHash, isEmpty, digests, keyrings, buffers, excludes, ignoredKeyrings, deviceMapper } = policy
  const keys = policy.keys.size > 0 ? keyringText(policy.keys) : ''
  const rest: Rest = { excludes, ignoredKeyrings: [...ignoredKeyrings], dmPolicy: deviceMapper?.source ?? null, keys }
  const tables = { digests: digests.packed, keyrings: keyrings.packed, buffers: buffers.packed }
  return {
    generator,
    logHash,
    isEmpty,
    ...tables,
    rest: sharedText(JSON.stringify(rest)),
    steps: policy.isExcluded.toMake + (deviceMapper?.toMake ?? 0),
  }
}

/** Whether a thread that others wait for may take it up: the digests cost nothing, whatever their number. */
export function isLight({ digests, keyrings, buffers, rest, steps }: PackedPolicy): boolean {
  const others = [digests, keyrings, buffers].reduce((sum, table) => sum + (table.others?.byteLength ?? 0), 0)
  return steps <= LIGHT_STEPS && rest.byteLength + others <= LIGHT_BYTES
}

/** The same policy in this thread. Only for what `packPolicy` made: nothing is checked again. */
export function unpackPolicy(packed: PackedPolicy): RuntimePolicy {
  const { generator, logHash, isEmpty, digests, keyrings, buffers } = packed
  const rest = JSON.parse(Buffer.from(packed.rest).toString('utf8')) as Rest
  return {
    generator,
    logHash,
    isEmpty,
    digests: new DigestTable(digests),
    keyrings: new DigestTable(keyrings),
    buffers: new DigestTable(buffers),
    excludes: rest.excludes,
    isExcluded: compileExcludes(rest.excludes, 'excludes'),
    ignoredKeyrings: new Set(rest.ignoredKeyrings),
    keys: new LazyKeys(rest.keys),
    deviceMapper: rest.dmPolicy === null ? null : parseDmPolicy(rest.dmPolicy, 'ima.dm_policy'),
  }
}
