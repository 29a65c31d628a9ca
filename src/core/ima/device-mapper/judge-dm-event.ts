import { isKeylimeError } from '../../errors.ts'
import { type Failure, type FailureContext, failure } from '../../verdict/failure.ts'
import { type DmEvent, type DmEventName, type DmFields, parseDmEvent } from './dm-event.ts'
import type { DmAttribute, DmPolicy, DmRule } from './dm-policy.ts'

/** A mapped device as the log has told of it so far; kept between rounds. */
export interface DmDevice {
  rule: string
  active: boolean
  /** `alg:hex` of the event that loaded its table: what the kernel calls the hash of the active table. */
  tableHash: string
}

/** By the value of the policy's `match_on`. */
export type DmDevices = Map<string, DmDevice>

export interface DmEvidence {
  name: DmEventName
  bytes: Buffer
  /** `alg:hex` of the bytes, which was compared with the log. */
  digest: string
}

const MAX_DEVICES = 10_000
type Verdict = { id: string; facts: FailureContext } | null
const no = (id: string, message: string, facts: Record<string, unknown> = {}): Verdict => ({ id, facts: { message, ...facts } })

/**
 * Judges one event of the device mapper and keeps what it says of the device (policies A.14). As upstream, devices that were loaded and never resumed,
 * and rules that were never used, are no failure: a log may end in the middle.
 */
export function judgeDmEvent(policy: DmPolicy, devices: DmDevices, evidence: DmEvidence): Failure | null {
  let event: DmEvent
  try {
    event = parseDmEvent(evidence.bytes)
  } catch (error) {
    if (!isKeylimeError(error)) throw error
    return failure('ima', 'validation.dm.parsing_failed', { message: `the event ${evidence.name} cannot be read: ${error.message}` })
  }
  const verdict = JUDGES[evidence.name]({ policy, devices, event, digest: evidence.digest, key: event.device.get(policy.matchOn) ?? '' })
  return verdict && failure('ima', `validation.dm.${evidence.name}.${verdict.id}`, verdict.facts)
}

interface Case {
  policy: DmPolicy
  devices: DmDevices
  event: DmEvent
  digest: string
  key: string
}

const JUDGES: Record<DmEventName, (the: Case) => Verdict> = {
  dm_table_load: judgeLoad,
  dm_device_resume: (the) => withDevice(the, 'resume_before_table_load', judgeResume),
  dm_device_remove: (the) => withDevice(the, 'remove_before_table_load', judgeRemove),
  dm_table_clear: (the) =>
    withDevice(the, 'clear_before_table_load', ({ key }, _device, rule) =>
      rule.allowClear ? null : no('table_cleared', `the table of device ${shown(key)} was cleared, which its rule does not allow`),
    ),
  dm_device_rename: (the) => withDevice(the, 'rename_before_table_load', judgeRename),
  dm_target_update: (the) =>
    withDevice(the, 'update_before_table_load', ({ event, key }, _device, rule) =>
      event.targets.length === 0
        ? no('target_data_mismatch', `the update of device ${shown(key)} has no target`)
        : firstVerdict(event.targets, (target) => judgeTarget(target, rule.targets[Number(target.get('target_index'))], key)),
    ),
}

function withDevice(the: Case, id: string, judge: (the: Case, device: DmDevice, rule: DmRule) => Verdict): Verdict {
  const device = the.devices.get(the.key)
  const rule = the.policy.rules.find(({ name }) => name === device?.rule)
  if (!device || !rule) return no(id, `device ${shown(the.key)} has no table that was loaded before`)
  return judge(the, device, rule)
}

function judgeLoad({ policy, devices, event, digest, key }: Case): Verdict {
  const rule = policy.rules.find(({ device }) => device.get(policy.matchOn)!.accepts(key))
  const known = devices.get(key)
  const knownRule = policy.rules.find(({ name }) => name === known?.rule)
  if (known && !knownRule?.allowMultipleLoads) return no('multiple_table_loads', `a second table was loaded for device ${shown(key)}`)
  if (!rule) return no('no_matching_policy', `no rule of dm_policy is for the device ${shown(key)}`)
  for (const [field, attribute] of rule.device) {
    const got = event.device.get(field)
    if (!attribute.accepts(got))
      return no('invalid_entry', `${field} of device ${shown(key)} is not what rule ${shown(rule.name)} wants`, fact(field, got, attribute))
  }
  const { targets } = event
  if (targets.length !== rule.targetCount) {
    const facts = { got: targets.length, expected: rule.targetCount }
    return no('num_targets_mismatch', `device ${shown(key)} has ${targets.length} targets, its rule has ${rule.targetCount}`, facts)
  }
  const wrong = firstVerdict(targets, (target, i) => judgeTarget(target, rule.targets[i], key))
  if (wrong) return wrong
  if (devices.size >= MAX_DEVICES) return no('no_matching_policy', `more than ${MAX_DEVICES} devices were mapped`)
  devices.set(key, { rule: rule.name, active: false, tableHash: digest })
  return null
}

function judgeTarget(target: DmFields, wanted: ReadonlyMap<string, DmAttribute> | undefined, key: string): Verdict {
  if (!wanted) return no('target_data_mismatch', `device ${shown(key)} has a target that its rule does not have`)
  for (const [field, attribute] of wanted) {
    const got = target.get(field)
    if (attribute.accepts(got)) continue
    const id = got === undefined ? 'target_attribute_not_found' : 'target_data_mismatch'
    return no(id, `${field} of a target of device ${shown(key)} is not what its rule wants`, fact(field, got, attribute))
  }
  return null
}

function judgeResume({ event, key }: Case, device: DmDevice): Verdict {
  if (device.active) return no('already_active', `device ${shown(key)} was resumed twice`)
  const got = event.rest.get('active_table_hash')
  if (got !== device.tableHash) {
    const facts = { got: got ?? null, expected: [device.tableHash] }
    return no('active_table_mismatch', `device ${shown(key)} was resumed with another table than the one that was loaded`, facts)
  }
  device.active = true
  return null
}

function judgeRemove({ devices, key }: Case, _device: DmDevice, rule: DmRule): Verdict {
  if (!rule.allowRemoval) return no('device_removed', `device ${shown(key)} was removed, which its rule does not allow`)
  devices.delete(key)
  return null
}

function judgeRename({ policy, devices, event, key }: Case, device: DmDevice, rule: DmRule): Verdict {
  for (const [field, attribute] of [
    ['name', rule.newName],
    ['uuid', rule.newUuid],
  ] as const) {
    const got = event.rest.get(`new_${field}`) ?? ''
    if (got === (event.device.get(field) ?? '')) continue
    if (!attribute.accepts(got))
      return no(`new_${field}_invalid`, `the new ${field} of device ${shown(key)} is not what its rule wants`, fact(field, got, attribute))
    if (policy.matchOn !== field) continue
    devices.delete(key)
    devices.set(got, device)
  }
  return null
}

const fact = (field: string, got: string | undefined, { expected }: DmAttribute) => ({
  field,
  got: got?.slice(0, 500) ?? null,
  expected: [expected],
})

function firstVerdict<T>(items: readonly T[], judge: (item: T, i: number) => Verdict): Verdict {
  for (const [i, item] of items.entries()) {
    const verdict = judge(item, i)
    if (verdict) return verdict
  }
  return null
}

const shown = (text: string) => JSON.stringify(text.slice(0, 200))
