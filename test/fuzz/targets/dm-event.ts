import assert from 'node:assert/strict'
import { type DmEvent, type DmFields, parseDmEvent } from '../../../src/core/ima/device-mapper/dm-event.ts'
import { type Target, text, unlessRefused } from '../target.ts'

/** Events of the device mapper: written again they say the same. */
export const dmEvent: Target = {
  seeds: () => [
    text(
      'dm_version=4.45.0;name=test1,uuid=,major=253,minor=0,minor_count=1,num_targets=1;target_index=0,target_begin=0,target_len=2,target_name=linear,target_version=1.4.0,device_name=7:0,start=0;',
    ),
    text(
      'dm_version=4.45.0;name=a\\,b,uuid=CRYPT,major=253,minor=0,minor_count=1,num_targets=1;new_name=c\\;d,new_uuid=;current_device_capacity=1024;',
    ),
    text(
      'dm_version=4.45.0;device_active_metadata=name=t,uuid=;device_inactive_metadata=name=u,uuid=;active_table_hash=sha256:00,inactive_table_hash=sha256:11;remove_all=n;',
    ),
  ],
  words: ['dm_version=', 'target_index=', 'name=', 'device_active_metadata=', 'device_inactive_metadata=', '\\,', '\\;', '\\\\'],
  run(input) {
    const event = unlessRefused(['malformed'], () => parseDmEvent(input))
    if (event) assert.deepEqual(parseDmEvent(Buffer.from(printed(event))), event)
  },
}

function printed({ device, targets, rest }: DmEvent): string {
  const groups = [rest, ...(device.size > 0 ? [device] : []), ...targets]
  return groups.map((fields) => `${group(fields)};`).join('')
}

/** `rest` may begin like a device's data: then it stands behind its own. */
const group = (fields: DmFields) => [...fields].map(([key, value]) => `${key}=${value.replace(/[\\,;]/g, '\\$&')}`).join(',')
