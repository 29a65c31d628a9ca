import { isKeylimeError, KeylimeError } from '../errors.ts'
import { devicePathText } from './device-path.ts'
import { type EfiVariable, type LoadOption, parseBootOrder, parseLoadOption, parseVariable } from './efi-variable.ts'
import type { BootEvent } from './event-log.ts'
import { eventTypeName } from './event-type.ts'
import { guidText } from './guid.ts'
import { LittleEndianReader } from './little-endian-reader.ts'
import { type EfiSignature, type EfiSignatureList, parseSignature, parseSignatureLists, parseVendorDb } from './signature-lists.ts'

/** What is in a variable, as far as its name says how to read it. */
export type VariableValue =
  | { kind: 'switch'; enabled: boolean }
  | { kind: 'lists'; lists: EfiSignatureList[] }
  | { kind: 'signatures'; signatures: EfiSignature[] }
  | { kind: 'boot-order'; entries: string[] }
  | { kind: 'load-option'; option: LoadOption }
  | { kind: 'text'; text: string }
  | { kind: 'bytes' }
  | { kind: 'unreadable'; defect: string }

export interface Partition {
  type: string
  id: string
  name: string
  firstBlock: number
  lastBlock: number
}

/** The data of an event, read by its type. `raw`: it has no inner form, or not the one that it should have; then `defect` says why. */
export type EventContent =
  | { kind: 'variable'; guid: string; name: string; value: VariableValue }
  | { kind: 'image'; devicePath: string }
  | { kind: 'blob'; address: number; length: number }
  | { kind: 'text'; text: string }
  | { kind: 'partitions'; disk: string; partitions: Partition[] }
  | { kind: 'raw'; defect: string | null }

const LISTS = new Set(['PK', 'KEK', 'db', 'dbx', 'vendor_db'])
const LOAD_OPTION = /^Boot[0-9a-fA-F]{4}$/
const MAX_PARTITIONS = 1024
const RAW: EventContent = { kind: 'raw', defect: null }

const READERS: Record<string, (data: Buffer) => EventContent> = {
  EV_EFI_VARIABLE_DRIVER_CONFIG: (data) => variable(data, configured),
  EV_EFI_VARIABLE_BOOT: (data) => variable(data, bootVariable),
  EV_EFI_VARIABLE_BOOT2: (data) => variable(data, bootVariable),
  EV_EFI_VARIABLE_AUTHORITY: (data) => variable(data, authority),
  EV_EFI_BOOT_SERVICES_APPLICATION: image,
  EV_EFI_BOOT_SERVICES_DRIVER: image,
  EV_EFI_RUNTIME_SERVICES_DRIVER: image,
  EV_EFI_PLATFORM_FIRMWARE_BLOB: blob,
  EV_EFI_PLATFORM_FIRMWARE_BLOB2: describedBlob,
  EV_EFI_GPT_EVENT: partitions,
  EV_IPL: text,
  EV_ACTION: text,
  EV_EFI_ACTION: text,
}

/** Reads the data of an event. Never throws for what a machine sends: data of a wrong inner form stays raw, and whoever needs it refuses. */
export function readEvent(event: BootEvent): EventContent {
  const read = READERS[eventTypeName(event.type)]
  return read
    ? attempt(
        () => read(event.data),
        (defect): EventContent => ({ kind: 'raw', defect }),
      )
    : RAW
}

/** The name of a variable is known even when its content has not the form that the name promises. */
function variable(data: Buffer, read: (variable: EfiVariable) => VariableValue): EventContent {
  const parsed = parseVariable(data)
  const value = attempt(
    () => read(parsed),
    (defect): VariableValue => ({ kind: 'unreadable', defect }),
  )
  return { kind: 'variable', guid: parsed.guid, name: parsed.name, value }
}

function attempt<T>(read: () => T, otherwise: (defect: string) => T): T {
  try {
    return read()
  } catch (error) {
    if (!isKeylimeError(error)) throw error
    return otherwise(error.message)
  }
}

function configured({ name, data }: EfiVariable): VariableValue {
  if (name === 'SecureBoot') return switchOf(data)
  return LISTS.has(name) ? { kind: 'lists', lists: parseSignatureLists(data) } : { kind: 'bytes' }
}

function bootVariable({ name, data }: EfiVariable): VariableValue {
  if (name === 'BootOrder') return { kind: 'boot-order', entries: parseBootOrder(data) }
  if (!LOAD_OPTION.test(name)) return { kind: 'bytes' }
  return { kind: 'load-option', option: parseLoadOption(data) }
}

function authority({ name, data }: EfiVariable): VariableValue {
  if (name === 'vendor_db') return { kind: 'signatures', signatures: parseVendorDb(data) }
  if (name === 'db') return { kind: 'signatures', signatures: [parseSignature(data)] }
  if (name === 'MokListTrusted') return switchOf(data)
  return name === 'SbatLevel' ? { kind: 'text', text: decoded(data) } : { kind: 'bytes' }
}

const switchOf = (data: Buffer): VariableValue =>
  data.length === 1 && data[0]! <= 1 ? { kind: 'switch', enabled: data[0] === 1 } : { kind: 'bytes' }

function image(data: Buffer): EventContent {
  const reader = new LittleEndianReader(data, 'the image load event')
  reader.bytes(24)
  return { kind: 'image', devicePath: devicePathText(reader.bytes(reader.u64())) }
}

function blob(data: Buffer): EventContent {
  const reader = new LittleEndianReader(data, 'the firmware blob event')
  return { kind: 'blob', address: reader.u64(), length: reader.u64() }
}

function describedBlob(data: Buffer): EventContent {
  const reader = new LittleEndianReader(data, 'the firmware blob event')
  reader.bytes(reader.u8())
  return { kind: 'blob', address: reader.u64(), length: reader.u64() }
}

/** UEFI_GPT_DATA: the header of the table, the number of partitions, their entries. */
function partitions(data: Buffer): EventContent {
  const reader = new LittleEndianReader(data, 'the partition table')
  reader.bytes(56)
  const disk = guidText(reader.bytes(16))
  reader.bytes(12)
  const entrySize = reader.u32()
  reader.bytes(4)
  const count = reader.u64()
  if (count > MAX_PARTITIONS || entrySize < 128 || count * entrySize !== reader.remaining)
    throw new KeylimeError('malformed', `the partition table declares ${count} partitions of ${entrySize} bytes`)
  const entries = Array.from({ length: count }, () => partition(reader.bytes(entrySize)))
  return { kind: 'partitions', disk, partitions: entries }
}

function partition(entry: Buffer): Partition {
  const reader = new LittleEndianReader(entry, 'the partition')
  const [type, id] = [guidText(reader.bytes(16)), guidText(reader.bytes(16))]
  const [firstBlock, lastBlock] = [reader.u64(), reader.u64()]
  reader.bytes(8)
  const name = reader.bytes(72).toString('utf16le').replace(/\0.*$/s, '')
  return { type, id, name, firstBlock, lastBlock }
}

function text(data: Buffer): EventContent {
  return { kind: 'text', text: decoded(data.at(-1) === 0 ? data.subarray(0, -1) : data) }
}

/** UTF-8; bytes that are none stay apart as Latin-1, so that two texts never look the same. */
function decoded(bytes: Buffer): string {
  const utf8 = bytes.toString('utf8')
  return Buffer.from(utf8, 'utf8').equals(bytes) ? utf8 : bytes.toString('latin1')
}
