import type { BootEvent } from './event-log.ts'

/** Names of event types (PC Client Platform Firmware Profile, table 27). */
const TYPES: Record<number, string> = {
  0: 'EV_PREBOOT_CERT',
  1: 'EV_POST_CODE',
  3: 'EV_NO_ACTION',
  4: 'EV_SEPARATOR',
  5: 'EV_ACTION',
  6: 'EV_EVENT_TAG',
  7: 'EV_S_CRTM_CONTENTS',
  8: 'EV_S_CRTM_VERSION',
  9: 'EV_CPU_MICROCODE',
  10: 'EV_PLATFORM_CONFIG_FLAGS',
  11: 'EV_TABLE_OF_DEVICES',
  12: 'EV_COMPACT_HASH',
  13: 'EV_IPL',
  14: 'EV_IPL_PARTITION_DATA',
  15: 'EV_NONHOST_CODE',
  16: 'EV_NONHOST_CONFIG',
  17: 'EV_NONHOST_INFO',
  2147483649: 'EV_EFI_VARIABLE_DRIVER_CONFIG',
  2147483650: 'EV_EFI_VARIABLE_BOOT',
  2147483651: 'EV_EFI_BOOT_SERVICES_APPLICATION',
  2147483652: 'EV_EFI_BOOT_SERVICES_DRIVER',
  2147483653: 'EV_EFI_RUNTIME_SERVICES_DRIVER',
  2147483654: 'EV_EFI_GPT_EVENT',
  2147483655: 'EV_EFI_ACTION',
  2147483656: 'EV_EFI_PLATFORM_FIRMWARE_BLOB',
  2147483657: 'EV_EFI_HANDOFF_TABLES',
  2147483658: 'EV_EFI_PLATFORM_FIRMWARE_BLOB2',
  2147483659: 'EV_EFI_HANDOFF_TABLES2',
  2147483660: 'EV_EFI_VARIABLE_BOOT2',
  2147483664: 'EV_EFI_HCRTM_EVENT',
  2147483872: 'EV_EFI_VARIABLE_AUTHORITY',
}

const VARIABLES = new Set(['EV_EFI_VARIABLE_DRIVER_CONFIG', 'EV_EFI_VARIABLE_BOOT', 'EV_EFI_VARIABLE_BOOT2', 'EV_EFI_VARIABLE_AUTHORITY'])
const TEXTS = new Set(['EV_IPL', 'EV_EFI_ACTION', 'EV_ACTION', 'EV_POST_CODE'])
const MAX_TEXT = 120

export const eventTypeName = (type: number): string => TYPES[type] ?? `0x${type.toString(16).padStart(8, '0')}`

/** What an event stands for, in one line: type, and the variable's name or the text. For people: the data need not be true. */
export function describeEvent(event: BootEvent): string {
  const type = eventTypeName(event.type)
  const detail = VARIABLES.has(type) ? variableName(event.data) : TEXTS.has(type) ? printable(event.data.toString('latin1')) : ''
  return `event ${event.number} ${type}${detail ? ` ${detail}` : ''}`
}

/** UEFI_VARIABLE_DATA: GUID, length of the name in characters, length of the data, name in UTF-16. */
function variableName(data: Buffer): string {
  if (data.length < 32) return ''
  const characters = data.readUInt32LE(16)
  if (characters > MAX_TEXT || 32 + characters * 2 > data.length) return ''
  return printable(data.subarray(32, 32 + characters * 2).toString('utf16le'))
}

const printable = (text: string) =>
  text
    .replace(/\0+$/, '')
    .replace(/[^\x20-\x7e]/g, '?')
    .slice(0, MAX_TEXT)
