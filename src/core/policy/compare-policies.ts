import { KeylimeError } from '../errors.ts'

/** One difference between two policies. Lists are compared as sets. */
export interface PolicyDifference {
  /** JSON path, such as `digests["/bin/x"]`. */
  path: string
  change: 'added' | 'removed' | 'changed'
  /** What only the second has. */
  added: unknown[]
  /** What only the first has. */
  removed: unknown[]
}

/** When and with what a policy was made says nothing about what it accepts. */
const MEANINGLESS = new Set(['meta', 'release', 'mask'])

/** Differences in meaning between two policies of one kind, in the order of their paths. @throws KeylimeError `invalid_request` for a text that is no JSON object. */
export function comparePolicies(before: string, after: string): PolicyDifference[] {
  const [a, b] = [leavesOf(before), leavesOf(after)]
  const differences: PolicyDifference[] = []
  for (const path of new Set([...a.keys(), ...b.keys()])) {
    const [old, fresh] = [a.get(path), b.get(path)]
    const removed = [...(old ?? [])].filter((item) => !fresh?.has(item))
    const added = [...(fresh ?? [])].filter((item) => !old?.has(item))
    const change = !old ? 'added' : !fresh ? 'removed' : 'changed'
    if (removed.length > 0 || added.length > 0) differences.push({ path, change, added: added.map(parsed), removed: removed.map(parsed) })
  }
  return differences.sort((x, y) => (x.path < y.path ? -1 : 1))
}

const parsed = (text: string): unknown => JSON.parse(text)

/** Each list, or value that is no object, by its path, as a set of JSON texts. */
function leavesOf(text: string): Map<string, Set<string>> {
  const leaves = new Map<string, Set<string>>()
  let json: unknown
  try {
    json = JSON.parse(text)
  } catch (cause) {
    throw new KeylimeError('invalid_request', 'the policy is not valid JSON', { cause })
  }
  if (typeof json !== 'object' || json === null || Array.isArray(json))
    throw new KeylimeError('invalid_request', 'the policy is not a JSON object')
  for (const [name, value] of Object.entries(json))
    if (!MEANINGLESS.has(name)) walk(name === 'verification-keys' ? keyList(value) : value, name, leaves)
  return leaves
}

function walk(value: unknown, path: string, leaves: Map<string, Set<string>>): void {
  if (Array.isArray(value)) {
    if (value.length > 0) leaves.set(path, new Set(value.map(canonical)))
  } else if (typeof value === 'object' && value !== null)
    for (const [name, item] of Object.entries(value))
      walk(item, `${path}${/^[\w-]+$/.test(name) ? `.${name}` : `[${JSON.stringify(name)}]`}`, leaves)
  else if (value !== '' && value !== null) leaves.set(path, new Set([canonical(value)]))
}

/** Keys without the order and the ids that they stand in the text with. */
function keyList(text: unknown): unknown {
  let json: unknown = text
  try {
    for (let i = 0; i < 2 && typeof json === 'string'; i++) json = json === '' ? {} : JSON.parse(json)
  } catch {
    return text
  }
  return (json as { pubkeys?: unknown } | null)?.pubkeys ?? []
}

/** The same text for equal values, whatever the order of their members. */
function canonical(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(canonical).join()}]`
  if (typeof value !== 'object' || value === null) return JSON.stringify(value)
  const members = Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1))
  return `{${members.map(([name, item]) => `${JSON.stringify(name)}:${canonical(item)}`).join()}}`
}
