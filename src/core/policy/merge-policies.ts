import { isKeylimeError, KeylimeError } from '../errors.ts'
import { addPolicy, emptyParts, GENERATOR, policyText } from '../ima/policy-document.ts'
import { parseRuntimePolicy } from '../ima/runtime-policy.ts'
import { parseBootPolicy } from '../measured-boot/boot-policy.ts'
import { mergeReferenceState } from '../measured-boot/merge-reference-state.ts'
import { isReferenceState } from '../measured-boot/reference-state.ts'
import { parseTpmPolicy } from './tpm-policy.ts'

export type PolicyKind = 'runtime' | 'tpm' | 'mb'

type Json = Record<string, unknown>

/** A policy or a change to one, with the file that errors name. */
export interface PolicySource {
  file: string
  text: string
}

const RUNTIME_MEMBERS = ['digests', 'keyrings', 'ima-buf', 'excludes', 'ima', 'verification-keys']
const BOOT_MEMBERS = ['has_secureboot', 'scrtm_and_bios', 'pk', 'kek', 'db', 'dbx', 'vendor_db', 'mokdig', 'mokxdig', 'kernels', 'replay']
const WRAPPERS: Record<PolicyKind, string> = { runtime: 'runtime_policy', tpm: 'tpm_policy', mb: 'mb_policy' }
export const KIND_NAMES: Record<PolicyKind, string> = { runtime: 'runtime policy', tpm: 'tpm_policy', mb: 'measured boot policy' }

/** Which kind of policy this is, or a part of; null for something else. */
export function policyKind(json: Json): PolicyKind | null {
  const names = Object.keys(json)
  if (names.length > 0 && names.every((name) => /^\d+$/.test(name) || name === 'mask')) return 'tpm'
  if (names.some((name) => RUNTIME_MEMBERS.includes(name))) return 'runtime'
  return names.some((name) => BOOT_MEMBERS.includes(name)) ? 'mb' : null
}

/**
 * A policy that accepts all that the first one accepts, and what the others add: whole policies, parts of them, the `accept` of failures, or files with a
 * member for each kind. Nothing is dropped. The result is checked as the verifier checks it.
 * @throws KeylimeError `refused` for a signed policy, `conflict` when two cannot be one, `invalid_request` for what is none.
 */
export function mergePolicies(base: PolicySource, additions: readonly PolicySource[], timestamp: string): string {
  const first = readJson(base)
  refuseSigned(first, base.file)
  const kind = policyKind(first)
  if (!kind) throw new KeylimeError('invalid_request', `${base.file}: this is not a runtime policy, a tpm_policy or a measured boot policy`)
  const changes = additions.flatMap((source) => changesIn(source, kind).map((change) => ({ change, file: source.file })))
  if (kind === 'tpm') return mergeTpm(base, changes)
  if (kind === 'mb') return mergeBoot(first, changes)
  parseRuntimePolicy(base.text)
  const parts = emptyParts()
  for (const { change, file } of [{ change: first, file: base.file }, ...changes]) addPolicy(parts, change, file)
  return policyText(parts, { timestamp, generator: GENERATOR.made })
}

function mergeTpm(base: PolicySource, changes: readonly { change: Json; file: string }[]): string {
  const policies = [base.text, ...changes.map(({ change }) => JSON.stringify(change))].map(parseTpmPolicy)
  const merged = new Map<number, Set<string>>()
  for (const { allowed } of policies)
    for (const [pcr, digests] of allowed) merged.set(pcr, new Set([...(merged.get(pcr) ?? []), ...digests]))
  const entries = [...merged].sort(([a], [b]) => a - b).map(([pcr, digests]) => [String(pcr), [...digests].sort()])
  const mask = 'mask' in readJson(base) ? { mask: `0x${(policies.reduce((all, policy) => all | policy.mask, 0) >>> 0).toString(16)}` } : {}
  const text = `${JSON.stringify({ ...Object.fromEntries(entries), ...mask }, null, 1)}\n`
  parseTpmPolicy(text)
  return text
}

function mergeBoot(first: Json, changes: readonly { change: Json; file: string }[]): string {
  let state = first
  for (const { change, file } of changes) {
    try {
      state = mergeReferenceState(state, change)
    } catch (cause) {
      if (!isKeylimeError(cause)) throw cause
      throw new KeylimeError('conflict', `${file}: ${cause.message}`, { cause, ...(cause.hint ? { hint: cause.hint } : {}) })
    }
  }
  const text = `${JSON.stringify(state, null, 1)}\n`
  parseBootPolicy(text, isReferenceState(state) ? 'example' : 'accept-all')
  return text
}

/** What of a file is for policies of this kind. @throws KeylimeError when nothing is. */
function changesIn(source: PolicySource, kind: PolicyKind): Json[] {
  const found = unwrap(readJson(source), kind, source.file)
  if (found.length > 0) return found
  throw new KeylimeError('invalid_request', `${source.file}: has nothing for a ${KIND_NAMES[kind]}`, {
    hint: `it may be a policy, a part of one, a failure with "accept", or {"${WRAPPERS[kind]}": …}`,
  })
}

function unwrap(json: unknown, kind: PolicyKind, file: string): Json[] {
  if (Array.isArray(json)) return json.flatMap((item) => unwrap(item, kind, file))
  if (typeof json !== 'object' || json === null) return []
  const change = json as Json
  refuseSigned(change, file)
  const wrapped = change[WRAPPERS[kind]]
  if (typeof wrapped === 'string' && wrapped !== '') return unwrap(readJson({ file, text: wrapped }), kind, file)
  for (const inner of [wrapped, change['accept'], change['failures'], change['context']]) if (inner) return unwrap(inner, kind, file)
  return policyKind(change) === kind ? [change] : []
}

function readJson({ file, text }: PolicySource): Json {
  let json: unknown
  try {
    json = JSON.parse(text)
  } catch (cause) {
    throw new KeylimeError('invalid_request', `${file}: is not valid JSON`, { cause })
  }
  if (typeof json !== 'object' || json === null) throw new KeylimeError('invalid_request', `${file}: is not a JSON object`)
  return json as Json
}

function refuseSigned(json: Json, file: string): void {
  if (!json['payload'] || !json['signatures']) return
  throw new KeylimeError('refused', `${file}: is signed, and a change would break the signature`, {
    hint: 'merge before signing: `keylime policy verify` gives the policy that was signed, `keylime policy sign` signs the result',
  })
}
