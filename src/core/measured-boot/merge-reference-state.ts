import { KeylimeError } from '../errors.ts'

type Json = Record<string, unknown>

/** Members whose items are alternatives: one more only ever accepts more. */
const ALTERNATIVES = ['scrtm_and_bios', 'pk', 'kek', 'db', 'vendor_db', 'mokdig', 'mokxdig', 'kernels']
/** Without Secure Boot an empty list of these accepts anything, so a first item would accept less. */
const EMPTY_ACCEPTS_ALL = new Set(['pk', 'kek', 'db', 'vendor_db'])

/**
 * A reference state that accepts what `state` accepts and what `patch` adds: a whole state, or the `accept` of a failure. Nothing is dropped: lists grow, a
 * member that `state` lacks is taken over, any other stays as it is. `dbx` stays too, because its items are demands: more of them would refuse machines.
 * @throws KeylimeError `invalid_request` when one is for machines with Secure Boot and the other for machines without, or a list is none.
 */
export function mergeReferenceState(state: Json, patch: Json): Json {
  const secureBoot = state['has_secureboot'] ?? true
  if (patch['has_secureboot'] !== undefined && patch['has_secureboot'] !== secureBoot)
    throw new KeylimeError(
      'invalid_request',
      'a state with Secure Boot and one without it cannot be merged: every machine meets one of them',
      {
        hint: 'upload two policies, one for each kind of machine',
      },
    )
  const merged: Json = { ...state }
  for (const [member, added] of Object.entries(patch)) {
    const present = state[member]
    if (present === undefined) merged[member] = added
    else if (ALTERNATIVES.includes(member)) {
      const isOpen = secureBoot === false && EMPTY_ACCEPTS_ALL.has(member) && Array.isArray(present) && present.length === 0
      merged[member] = isOpen ? present : union(items(present, member), items(added, member))
    }
  }
  return merged
}

function items(value: unknown, member: string): unknown[] {
  if (!Array.isArray(value)) throw new KeylimeError('invalid_request', `${member}: is not a list`)
  return value
}

function union(present: unknown[], added: unknown[]): unknown[] {
  const known = new Set(present.map(canonical))
  return [...present, ...added.filter((item) => !known.has(canonical(item)) && known.add(canonical(item)))]
}

/** The same text for equal values, whatever the order of their members. */
function canonical(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(canonical).join()}]`
  if (typeof value !== 'object' || value === null) return JSON.stringify(value)
  const members = Object.entries(value).toSorted(([a], [b]) => (a < b ? -1 : 1))
  return `{${members.map(([name, item]) => `${JSON.stringify(name)}:${canonical(item)}`).join()}}`
}
