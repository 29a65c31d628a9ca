import { hash as hashOf } from 'node:crypto'
import type { HashName } from '../tpm/algorithms.ts'
import type { BootEvent } from './event-log.ts'
import { eventTypeName } from './event-type.ts'

/** Variables whose name and content are judged. */
const VARIABLES = new Set(['EV_EFI_VARIABLE_DRIVER_CONFIG', 'EV_EFI_VARIABLE_AUTHORITY'])
const ACTIONS = new Set(['EV_SEPARATOR', 'EV_ACTION', 'EV_EFI_ACTION'])
/** What GRUB writes before the text that it measures; the digest covers the text alone, without the NUL at the end. */
const GRUB_TEXT = /^(?:grub_cmd|kernel_cmdline|module_cmdline): /
const VARIABLE_HEADER = 32
/** Bytes behind a variable that may be missing from what was hashed: Shim before 15.3 has six there and hashes five. */
const MAX_TAIL = 16
const BOOLEANS = [Buffer.from([0]), Buffer.from([1])]

/**
 * What the digest of an event says of its data, in the bank that was quoted, for the events whose data policy `example` judges. Found on logs of real machines
 * (OVMF, Lenovo, HPE; Shim and GRUB of Debian, Fedora, CentOS, RHEL and Ubuntu) and in public reports:
 *
 * - separators, actions: the digest is that of the data;
 * - variables of Secure Boot: that of the data; Shim before 15.3 adds bytes behind the variable and does not hash them all, so every beginning of the data
 *   counts that holds the whole variable: what is judged is in it;
 * - `EV_IPL` of GRUB's commands and of the kernel command line: of the text without its prefix and NUL, so *which of the two it is* is not covered;
 * - `EV_IPL` MokListTrusted: of the variable's content, which is one byte, 0 or 1;
 * - everything else: only the digest counts. It is one of something that is not in the log (firmware volumes, applications, files that GRUB read, MOK lists,
 *   tables), or vendors hash it each in their way (version of the firmware, boot entries, partition table) and any content is accepted.
 *
 * @returns 'covered', 'false' (the data is not what was measured), or 'uncovered' (nothing in the log can be compared).
 */
export function dataCoverage(event: BootEvent, bank: HashName): 'covered' | 'false' | 'uncovered' {
  const candidates = measuredForms(event)
  if (candidates.length === 0) return 'uncovered'
  const digest = event.digests.get(bank)?.toString('hex')
  const fits = (bytes: Buffer) => hashOf(bank, bytes, 'hex') === digest
  if (candidates.some(fits)) return 'covered'
  return VARIABLES.has(eventTypeName(event.type)) && wholeVariables(event.data).some(fits) ? 'covered' : 'false'
}

/** The bytes that such an event may have been made of; empty when they are not in the log. */
function measuredForms({ type, data }: BootEvent): Buffer[] {
  const name = eventTypeName(type)
  if (ACTIONS.has(name) || VARIABLES.has(name)) return [data]
  if (name !== 'EV_IPL') return []
  const text = data.at(-1) === 0 ? data.subarray(0, -1) : data
  const prefix = GRUB_TEXT.exec(text.toString('latin1'))?.[0]
  if (prefix) return [text.subarray(prefix.length)]
  return text.toString('latin1') === 'MokListTrusted' ? BOOLEANS : []
}

/** The beginnings of the data that are shorter and hold the whole variable, longest first. */
function wholeVariables(data: Buffer): Buffer[] {
  if (data.length < VARIABLE_HEADER) return []
  const [characters, bytes] = [data.readBigUInt64LE(16), data.readBigUInt64LE(24)]
  const tail = BigInt(data.length - VARIABLE_HEADER) - 2n * characters - bytes
  if (tail <= 0n || tail > MAX_TAIL) return []
  return Array.from({ length: Number(tail) }, (_, i) => data.subarray(0, data.length - 1 - i))
}
