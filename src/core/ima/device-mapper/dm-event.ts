import { KeylimeError } from '../../errors.ts'

/** Names of the buffers that the kernel's device mapper measures. */
export const DM_EVENTS = [
  'dm_table_load',
  'dm_device_resume',
  'dm_device_remove',
  'dm_table_clear',
  'dm_device_rename',
  'dm_target_update',
] as const
export type DmEventName = (typeof DM_EVENTS)[number]

export const isDmEventName = (name: string): name is DmEventName => (DM_EVENTS as readonly string[]).includes(name)

/** Values by name, as the kernel printed them. */
export type DmFields = ReadonlyMap<string, string>

/** One measured event of a mapped device (policies A.14; the kernel's admin guide, "dm-ima"). */
export interface DmEvent {
  /** Of the device; of a removed one that of its active table, or else of its inactive one. Empty when the kernel had no data. */
  device: DmFields
  targets: DmFields[]
  /** All that belongs to neither: hashes, capacity, new names. */
  rest: DmFields
}

const MAX_FIELDS = 20_000
const PREFIXES = ['device_active_metadata=', 'device_inactive_metadata=']

/**
 * Reads the text of an event: groups that end with `;`, of `key=value` pairs with `,` between them; a backslash escapes a separator in a name. NULs
 * fill up. @throws KeylimeError `malformed`.
 */
export function parseDmEvent(bytes: Buffer): DmEvent {
  const text = new TextDecoder('utf-8').decode(bytes).replaceAll('\0', '')
  const groups = split(text, ';').filter((group) => group !== '')
  const devices: DmFields[] = []
  const targets: DmFields[] = []
  const rest = new Map<string, string>()
  let count = 0
  for (const group of groups) {
    const prefix = PREFIXES.find((start) => group.startsWith(start)) ?? ''
    const fields = readFields(group.slice(prefix.length))
    count += fields.size
    if (count > MAX_FIELDS) throw new KeylimeError('malformed', `the event has more than ${MAX_FIELDS} fields`)
    if (fields.has('target_index')) targets.push(fields)
    else if (fields.has('name')) devices.push(fields)
    else for (const [key, value] of fields) rest.set(key, value)
  }
  if (!rest.has('dm_version')) throw new KeylimeError('malformed', 'the event does not say dm_version')
  return { device: devices[0] ?? new Map(), targets, rest }
}

function readFields(group: string): DmFields {
  const fields = new Map<string, string>()
  for (const pair of split(group, ',')) {
    const equals = pair.indexOf('=')
    if (equals < 1) throw new KeylimeError('malformed', `${JSON.stringify(pair.slice(0, 40))} is not key=value`)
    const key = pair.slice(0, equals)
    if (fields.has(key)) throw new KeylimeError('malformed', `${key.slice(0, 40)} is given twice`)
    fields.set(key, pair.slice(equals + 1).replace(/\\(.)/gs, '$1'))
  }
  return fields
}

function split(text: string, separator: string): string[] {
  const parts: string[] = []
  let start = 0
  for (let at = 0; at < text.length; at++) {
    if (text[at] === '\\') at++
    else if (text[at] === separator) {
      parts.push(text.slice(start, at))
      start = at + 1
    }
  }
  parts.push(text.slice(start))
  return parts
}
