import { hash as hashOf } from 'node:crypto'
import type { HashName } from '../tpm/algorithms.ts'
import type { BootEvent } from './event-log.ts'
import { eventTypeName } from './event-type.ts'

/** Types whose digest is that of the whole data (PC Client Platform Firmware Profile, table 27). */
const OVER_DATA = new Set([
  'EV_SEPARATOR',
  'EV_ACTION',
  'EV_EFI_ACTION',
  'EV_S_CRTM_VERSION',
  'EV_EFI_VARIABLE_DRIVER_CONFIG',
  'EV_EFI_VARIABLE_AUTHORITY',
  'EV_EFI_VARIABLE_BOOT2',
  'EV_EFI_GPT_EVENT',
])
/** What GRUB writes before the text that it measures; the digest covers the text alone, without the NUL at the end. */
const GRUB_TEXT = /^(?:grub_cmd|kernel_cmdline|module_cmdline): /
const VARIABLE_HEADER = 32
const BOOLEANS = [Buffer.from([0]), Buffer.from([1])]

/**
 * What the digest of an event says of its data, in the bank that was quoted. Found on eight logs of real machines (OVMF, Lenovo, HPE;
 * Shim and GRUB of Debian, Fedora, CentOS, RHEL and Ubuntu), which all keep to it:
 *
 * - separators, actions, the firmware's version, the partition table, variables (but for the next line): the digest is that of the data;
 * - `EV_EFI_VARIABLE_BOOT`: of the variable's content alone, so its name is not covered; of the whole data in the specification's letter;
 * - `EV_IPL` of GRUB's commands and of the kernel command line: of the text without its prefix and NUL, so *which of the two it is* is not covered;
 * - `EV_IPL` MokListTrusted: of the variable's content, which is one byte, 0 or 1;
 * - everything else (firmware volumes, applications, files that GRUB read, MOK lists, tables): of something that is not in the log. Only the digest counts there.
 *
 * @returns 'covered', 'false' (the data is not what was measured), or 'uncovered' (nothing in the log can be compared).
 */
export function dataCoverage(event: BootEvent, bank: HashName): 'covered' | 'false' | 'uncovered' {
  const candidates = measuredForms(event)
  if (candidates.length === 0) return 'uncovered'
  const digest = event.digests.get(bank)?.toString('hex')
  return candidates.some((bytes) => hashOf(bank, bytes, 'hex') === digest) ? 'covered' : 'false'
}

/** The bytes that such an event may have been made of; empty when they are not in the log. */
function measuredForms({ type, data }: BootEvent): Buffer[] {
  const name = eventTypeName(type)
  if (OVER_DATA.has(name)) return [data]
  if (name === 'EV_EFI_VARIABLE_BOOT') return data.length < VARIABLE_HEADER ? [data] : [data, variableContent(data)]
  if (name !== 'EV_IPL') return []
  const text = data.at(-1) === 0 ? data.subarray(0, -1) : data
  const prefix = GRUB_TEXT.exec(text.toString('latin1'))?.[0]
  if (prefix) return [text.subarray(prefix.length)]
  return text.toString('latin1') === 'MokListTrusted' ? BOOLEANS : []
}

function variableContent(data: Buffer): Buffer {
  const characters = Number(data.readBigUInt64LE(16))
  return data.subarray(Math.min(VARIABLE_HEADER + 2 * characters, data.length))
}
