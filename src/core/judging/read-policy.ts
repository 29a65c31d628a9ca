import { createHash } from 'node:crypto'
import { type JsonLimits, jsonExcess } from '../api/bounded-json.ts'
import { KeylimeError } from '../errors.ts'
import { sharedBytes } from '../ima/build-digest-table.ts'
import { packPolicy } from '../ima/packed-policy.ts'
import { readRuntimePolicy } from '../ima/signed-policy.ts'
import { type BootPolicyName, parseBootPolicy } from '../measured-boot/boot-policy.ts'
import { bootDangers, runtimeDangers } from '../policy/policy-dangers.ts'
import type { PolicyText, ReadPolicy } from './judging.ts'

/** A million digests, each a name, a list and a text. */
const LIMITS: JsonLimits = { maxDepth: 64, maxValues: 4_000_000 }

export interface ReadingRules {
  /** `measured_boot_policy_name` */
  bootPolicy: BootPolicyName
  /** `require_allow_list_signatures` */
  requireSigned: boolean
}

/** Checks and packs a policy; whether a measured boot policy is heavy is left to who has a clock. @throws KeylimeError `invalid_request` or `unauthorized`, with upstream's texts. */
export function readPolicy({ kind, bytes: given, encoding = 'utf8', arrives }: PolicyText, rules: ReadingRules): ReadPolicy {
  const bytes = encoding === 'base64' ? Buffer.from(given.toString('latin1'), 'base64') : given
  const excess = jsonExcess(bytes, LIMITS)
  if (excess) throw new KeylimeError('invalid_request', `the ${kind === 'runtime' ? 'runtime' : 'measured boot'} policy ${excess}`)
  const digest = createHash('sha256').update(bytes).digest('hex')
  const text = bytes.toString('utf8')
  if (kind === 'mb') {
    const demands = parseBootPolicy(text, rules.bootPolicy)
    return {
      digest,
      bytes,
      runtime: null,
      boot: demands ? { digest, text: sharedBytes(bytes), pcrs: demands.pcrs, heavy: false } : null,
      dangers: bootDangers(text, rules.bootPolicy),
    }
  }
  const trust = arrives ? { key: arrives.key, required: rules.requireSigned } : { key: null, required: false }
  const policy = readRuntimePolicy(text, trust)
  return { digest, bytes, runtime: { digest, packed: packPolicy(policy) }, boot: null, dangers: runtimeDangers(policy) }
}

/** Of a text that may be read where others wait: no expressions and no keys are in it. */
const TRIVIAL_BYTES = 4096

/** Whether reading a policy costs next to nothing, as for those that upstream's tenant stores for agents without one. */
export function isTrivial({ kind, bytes, encoding = 'utf8' }: PolicyText): boolean {
  if (bytes.length > TRIVIAL_BYTES) return false
  const text = encoding === 'base64' ? Buffer.from(bytes.toString('latin1'), 'base64').toString('utf8') : bytes.toString('utf8')
  if (kind === 'mb') return /^\s*(?:\{\s*\}|null)?\s*$/.test(text)
  try {
    const { excludes, ima, 'verification-keys': keys, payload } = JSON.parse(text)
    return payload === undefined && Array.isArray(excludes) && excludes.length === 0 && (ima?.dm_policy ?? null) === null && keys === ''
  } catch {
    return true // it is refused at once
  }
}
