import { KeylimeError } from '../errors.ts'
import { digestSize, HASH_NAMES, type HashName, hashAlgOf } from '../tpm/algorithms.ts'
import { LittleEndianReader } from './little-endian-reader.ts'

/** One event of a TCG event log (PC Client Platform Firmware Profile, section 10). Its data is only believed where a digest covers it. */
export interface BootEvent {
  /** Place in the log, from 0. */
  number: number
  pcr: number
  type: number
  digests: ReadonlyMap<HashName, Buffer>
  data: Buffer
}

export interface BootEventLog {
  events: BootEvent[]
  /** Banks that every event of the log has a digest for. */
  banks: HashName[]
}

const EV_NO_ACTION = 3
const SPEC_ID = Buffer.from('Spec ID Event03\0', 'latin1')
const MAX_BYTES = 2 << 20
const MAX_EVENTS = 16_384
const MAX_DIGESTS = 16
const MAX_PCR = 23

/**
 * Parses a crypto-agile or a SHA-1 event log, exactly. Every length is checked against what is there before anything is allocated.
 * @throws KeylimeError `malformed` that names the event.
 */
export function parseEventLog(bytes: Buffer): BootEventLog {
  if (bytes.length > MAX_BYTES) throw new KeylimeError('malformed', `the boot log has ${bytes.length} bytes, at most ${MAX_BYTES} are read`)
  const reader = new LittleEndianReader(bytes, 'the boot log')
  const first = readSha1Event(reader, 0)
  const sizes = first.type === EV_NO_ACTION && first.data.subarray(0, 16).equals(SPEC_ID) ? digestSizes(first.data) : null
  const events: BootEvent[] = sizes ? [] : [first]
  while (reader.remaining > 0 && !isFilling(bytes, reader)) {
    const number = events.length + (sizes ? 1 : 0)
    if (number >= MAX_EVENTS) throw new KeylimeError('malformed', `the boot log has more than ${MAX_EVENTS} events`)
    events.push(sizes ? readAgileEvent(reader, number, sizes) : readSha1Event(reader, number))
  }
  if (isConfidential(events)) throw new KeylimeError('malformed', CONFIDENTIAL)
  if (reader.remaining > 0)
    throw new KeylimeError(
      'malformed',
      `the boot log is filled up with 0xff after event ${events.length}: it is a copy of the firmware's memory`,
    )
  const banks = sizes ? HASH_NAMES.filter((name) => sizes.has(hashAlgOf(name))) : (['sha1'] as HashName[])
  return { events, banks }
}

const CONFIDENTIAL =
  'the boot log is that of a confidential virtual machine (CCEL): it leads to the registers of the processor (RTMR), not to the PCRs of a TPM; give binary_bios_measurements of the virtual TPM, if the machine has one'
const EV_EFI_VARIABLE_DRIVER_CONFIG = 0x80000001
const SECURE_BOOT = Buffer.from('SecureBoot', 'utf16le')
/** Registers of such a machine: the one of the build, and four that are extended. */
const MAX_REGISTER = 4

/** Secure Boot is measured into PCR 7 of a TPM, and into register 1 of a confidential machine, which has no fifth (UEFI, section 38.4.1). */
const isConfidential = (events: readonly BootEvent[]): boolean =>
  events.some(({ type, pcr, data }) => type === EV_EFI_VARIABLE_DRIVER_CONFIG && pcr === 1 && data.subarray(32, 52).equals(SECURE_BOOT)) &&
  events.every(({ type, pcr }) => pcr <= MAX_REGISTER || type === EV_NO_ACTION)

/** The memory in which firmware keeps a log is filled with 0xff behind it. */
function isFilling(bytes: Buffer, reader: LittleEndianReader): boolean {
  const at = bytes.length - reader.remaining
  if (bytes[at] !== 0xff) return false
  const rest = bytes.subarray(at)
  return rest.length >= 8 && rest.readBigUInt64LE(0) === 0xffffffffffffffffn && rest.every((byte) => byte === 0xff)
}

/** Algorithms of the log and the size of their digests, from the Spec ID event. */
function digestSizes(data: Buffer): Map<number, number> {
  const reader = new LittleEndianReader(data, 'the Spec ID event of the boot log')
  reader.bytes(24)
  const count = reader.u32()
  if (count === 0 || count > MAX_DIGESTS) throw new KeylimeError('malformed', `the boot log declares ${count} digest algorithms`)
  const sizes = new Map<number, number>()
  for (let i = 0; i < count; i++) {
    const algorithm = reader.u16()
    const size = reader.u16()
    const known = HASH_NAMES.find((name) => hashAlgOf(name) === algorithm)
    if (size === 0 || size > 64 || (known && digestSize(known) !== size))
      throw new KeylimeError('malformed', `the boot log declares digests of ${size} bytes for algorithm 0x${algorithm.toString(16)}`)
    sizes.set(algorithm, size)
  }
  return sizes
}

function readSha1Event(reader: LittleEndianReader, number: number): BootEvent {
  const pcr = reader.u32()
  const type = reader.u32()
  const digest = reader.bytes(20)
  return checked({ number, pcr, type, digests: new Map([['sha1', digest]]), data: reader.bytes(reader.u32()) })
}

function readAgileEvent(reader: LittleEndianReader, number: number, sizes: ReadonlyMap<number, number>): BootEvent {
  const pcr = reader.u32()
  const type = reader.u32()
  const count = reader.u32()
  if (count > sizes.size)
    throw new KeylimeError('malformed', `event ${number} of the boot log has ${count} digests, ${sizes.size} algorithms are declared`)
  const digests = new Map<HashName, Buffer>()
  for (let i = 0; i < count; i++) {
    const algorithm = reader.u16()
    const size = sizes.get(algorithm)
    if (size === undefined) throw new KeylimeError('malformed', `event ${number} of the boot log has a digest of an undeclared algorithm`)
    const digest = reader.bytes(size)
    const name = HASH_NAMES.find((hash) => hashAlgOf(hash) === algorithm)
    if (name && digests.has(name)) throw new KeylimeError('malformed', `event ${number} of the boot log has two ${name} digests`)
    if (name) digests.set(name, digest)
  }
  return checked({ number, pcr, type, digests, data: reader.bytes(reader.u32()) })
}

function checked(event: BootEvent): BootEvent {
  if (event.pcr > MAX_PCR && !(event.type === EV_NO_ACTION))
    throw new KeylimeError('malformed', `event ${event.number} of the boot log is for PCR ${event.pcr}`)
  return event
}
