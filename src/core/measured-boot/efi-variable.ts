import { KeylimeError } from '../errors.ts'
import { devicePathText } from './device-path.ts'
import { guidText } from './guid.ts'
import { LittleEndianReader } from './little-endian-reader.ts'

/** UEFI_VARIABLE_DATA (PC Client Platform Firmware Profile, section 10.2.6). */
export interface EfiVariable {
  guid: string
  name: string
  data: Buffer
}

/** EFI_LOAD_OPTION (UEFI, section 3.1.3): what stands behind `Boot0001`. */
export interface LoadOption {
  enabled: boolean
  description: string
  devicePath: string
}

const ACTIVE = 1

/** Bytes behind the variable are left aside, as upstream does; they are measured too. @throws KeylimeError `malformed` when a length is more than there is. */
export function parseVariable(bytes: Buffer): EfiVariable {
  const reader = new LittleEndianReader(bytes, 'the variable')
  const guid = guidText(reader.bytes(16))
  const characters = reader.u64()
  const length = reader.u64()
  const name = reader.bytes(characters * 2).toString('utf16le')
  return { guid, name, data: reader.bytes(length) }
}

/** @throws KeylimeError `malformed` for an odd number of bytes. */
export function parseBootOrder(data: Buffer): string[] {
  if (data.length % 2 !== 0) throw new KeylimeError('malformed', `BootOrder has ${data.length} bytes`)
  return Array.from(
    { length: data.length / 2 },
    (_, i) =>
      `Boot${data
        .readUInt16LE(i * 2)
        .toString(16)
        .padStart(4, '0')}`,
  )
}

/** @throws KeylimeError `malformed`. */
export function parseLoadOption(data: Buffer): LoadOption {
  const reader = new LittleEndianReader(data, 'the boot entry')
  const attributes = reader.u32()
  const pathLength = reader.u16()
  let description = ''
  for (let unit = reader.u16(); unit !== 0; unit = reader.u16()) description += String.fromCharCode(unit)
  return { enabled: (attributes & ACTIVE) !== 0, description, devicePath: devicePathText(reader.bytes(pathLength)) }
}
