import { KeylimeError } from '../errors.ts'
import { collectAllowList } from './collect-digests.ts'
import type { Keyring } from './keyring.ts'
import { addKeys, addPolicy, emptyParts, GENERATOR, policyText } from './policy-document.ts'
import { parseRuntimePolicy } from './runtime-policy.ts'

export interface Conversion {
  /** The list or policy of old form. */
  text: string
  /** Named in errors. */
  source: string
  excludes: readonly string[]
  keys: Keyring
  /** ISO text of now. */
  timestamp: string
}

export type LegacyForm = 'flat' | 'json' | 'old-policy' | 'policy'

/**
 * A runtime policy of version 1 with the meaning of an allow list, flat or JSON, or of an older runtime policy (policies A.15). A policy of version 1 stays
 * what it is, with what is added. @returns its text, what it was, and the lines of a flat list that cannot be read.
 * @throws KeylimeError `invalid_request` for anything else.
 */
export function convertLegacyPolicy({ text, source, excludes, keys, timestamp }: Conversion): {
  policy: string
  form: LegacyForm
  unread: number[]
} {
  const json = readJson(text)
  const parts = emptyParts()
  let unread: number[] = []
  const form = json === null ? 'flat' : formOf(json, source)
  if (form === 'flat') unread = collectAllowList(text, parts)
  else {
    if (form === 'policy') parseRuntimePolicy(text)
    const { hashes, meta: _old, release: _number, ...members } = json!
    addPolicy(parts, form === 'json' ? withoutEmpty({ ...members, digests: hashes }) : withoutEmpty(members), source)
  }
  if (parts.digests.size === 0 && parts.keyrings.size === 0 && form !== 'policy' && form !== 'old-policy')
    throw new KeylimeError('invalid_request', `${source}: no line is a digest and a path`, { hint: 'sha256sum FILE … makes such lines' })
  for (const expression of excludes) parts.excludes.add(expression)
  addKeys(parts, keys, source)
  const generator = form === 'old-policy' ? GENERATOR.compatible : form === 'policy' ? generatorOf(json!) : GENERATOR.made
  return { policy: policyText(parts, { timestamp, generator }), form, unread }
}

/** Null when the text is no JSON object: then it is a flat list. */
function readJson(text: string): Record<string, unknown> | null {
  try {
    const json: unknown = JSON.parse(text)
    return typeof json === 'object' && json !== null && !Array.isArray(json) ? (json as Record<string, unknown>) : null
  } catch {
    return null
  }
}

function formOf(json: Record<string, unknown>, source: string): LegacyForm {
  if (json['payload'])
    throw new KeylimeError('invalid_request', `${source}: is signed, and a conversion would break the signature`, {
      hint: 'keylime policy verify gives the policy that was signed; convert that, then sign it',
    })
  if (json['hashes']) return 'json'
  const version = (json['meta'] as { version?: unknown } | undefined)?.version
  if (json['digests'] && typeof version === 'number') return version < 1 ? 'old-policy' : 'policy'
  throw new KeylimeError(
    'invalid_request',
    `${source}: is neither an allow list (no "hashes") nor a runtime policy (no "digests" with "meta.version")`,
  )
}

const generatorOf = (json: Record<string, unknown>): number => (json['meta'] as { generator: number }).generator

/** Old lists have null, 0 or "" for what they do not say. */
const withoutEmpty = (members: Record<string, unknown>) => Object.fromEntries(Object.entries(members).filter(([, value]) => value))
