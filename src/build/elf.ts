/** A part of an executable that is mapped into memory. */
export interface Segment {
  type: number
  flags: number
  offset: number
  address: number
  fileSize: number
  memorySize: number
  align: number
}

export interface Section {
  name: string
  type: number
  address: number
  offset: number
  size: number
  link: number
}

/** What the build has to know and change of a 64-bit little-endian ELF executable (System V ABI, chapters 4 and 5). */
export interface Elf {
  machine: 'x64' | 'arm64'
  entry: number
  segments: Segment[]
  sections: Section[]
}

export const LOAD = 1
const TABLE = 6
export const EXECUTABLE = 1
const MACHINES = { 62: 'x64', 183: 'arm64' } as const
const HEADER = { entry: 24, segmentsAt: 32, sectionsAt: 40, segments: 56, sections: 60, names: 62 }
const SEGMENT_SIZE = 56
const SECTION_SIZE = 64

/** @throws Error for what is no such file. */
export function readElf(bytes: Buffer): Elf {
  const machine = MACHINES[bytes.readUInt16LE(18) as keyof typeof MACHINES]
  if (bytes.readUInt32BE(0) !== 0x7f454c46 || bytes[4] !== 2 || bytes[5] !== 1 || !machine)
    throw new Error('not an ELF executable for x64 or arm64')
  const sections = Array.from({ length: bytes.readUInt16LE(HEADER.sections) }, (_, i) =>
    readSection(bytes, u64(bytes, HEADER.sectionsAt) + i * SECTION_SIZE),
  )
  const names = sections[bytes.readUInt16LE(HEADER.names)]
  if (names) for (const section of sections) section.name = textAt(bytes, names.offset + Number(section.name))
  return {
    machine,
    entry: u64(bytes, HEADER.entry),
    segments: Array.from({ length: bytes.readUInt16LE(HEADER.segments) }, (_, i) =>
      readSegment(bytes, u64(bytes, HEADER.segmentsAt) + i * SEGMENT_SIZE),
    ),
    sections,
  }
}

/** Where a function or an object of the symbol table is. @throws Error when there is none of such a name: look before the executable is stripped. */
export function findSymbol(bytes: Buffer, { sections }: Elf, name: RegExp): { address: number; size: number } {
  const table = sections.find((section) => section.name === '.symtab')
  const names = table && sections[table.link]
  for (let at = table?.offset ?? 0; table && names && at < table.offset + table.size; at += 24)
    if (name.test(textAt(bytes, names.offset + bytes.readUInt32LE(at)))) return { address: u64(bytes, at + 8), size: u64(bytes, at + 16) }
  throw new Error(`the executable has no symbol ${name.source}`)
}

/** Rows of the table of segments. */
export const rowsOf = (bytes: Buffer): number => bytes.readUInt16LE(HEADER.segments)
/** Bytes of such a table. */
export const tableSize = (rows: number): number => rows * SEGMENT_SIZE

/** Where the table gets too long for its place. The new one must be in a segment whose distance from the beginning of the file is that in memory: older kernels find it so. */
export function moveSegmentTable(bytes: Buffer, { segments }: Elf, { offset, segment }: { offset: number; segment: Segment }): void {
  const size = tableSize(segments.length)
  if (bytes.subarray(offset, offset + size).some((byte) => byte !== 0)) throw new Error('the place for the table of segments is not empty')
  bytes.writeBigUInt64LE(BigInt(offset), HEADER.segmentsAt)
  bytes.writeUInt16LE(segments.length, HEADER.segments)
  const address = segment.address + offset - segment.offset
  for (const row of segments) if (row.type === TABLE) Object.assign(row, { offset, address, fileSize: size, memorySize: size })
}

/** Writes entry point, segments and sections back, as many as there were. */
export function writeElf(bytes: Buffer, { entry, segments, sections }: Elf): void {
  if (segments.length !== bytes.readUInt16LE(HEADER.segments)) throw new Error('there must be as many segments as before')
  bytes.writeBigUInt64LE(BigInt(entry), HEADER.entry)
  segments.forEach((segment, i) => {
    writeSegment(bytes, u64(bytes, HEADER.segmentsAt) + i * SEGMENT_SIZE, segment)
  })
  sections.forEach(({ offset, size }, i) => {
    const at = u64(bytes, HEADER.sectionsAt) + i * SECTION_SIZE
    bytes.writeBigUInt64LE(BigInt(offset), at + 24)
    bytes.writeBigUInt64LE(BigInt(size), at + 32)
  })
}

export function moveSectionTable(bytes: Buffer, by: number): void {
  bytes.writeBigUInt64LE(BigInt(u64(bytes, HEADER.sectionsAt) + by), HEADER.sectionsAt)
}

export const sectionTableAt = (bytes: Buffer): number => u64(bytes, HEADER.sectionsAt)

/** The file's offset of an address in memory. @throws Error when no segment of the file has it. */
export function offsetOf({ segments }: Elf, address: number): number {
  const segment = segments.find((s) => s.type === LOAD && address >= s.address && address < s.address + s.fileSize)
  if (!segment) throw new Error(`nothing of the file is at ${address.toString(16)}`)
  return segment.offset + (address - segment.address)
}

function readSegment(bytes: Buffer, at: number): Segment {
  const [offset, address, , fileSize, memorySize, align] = [8, 16, 24, 32, 40, 48].map((field) => u64(bytes, at + field)) as [
    number,
    number,
    number,
    number,
    number,
    number,
  ]
  return { type: bytes.readUInt32LE(at), flags: bytes.readUInt32LE(at + 4), offset, address, fileSize, memorySize, align }
}

function writeSegment(bytes: Buffer, at: number, { type, flags, offset, address, fileSize, memorySize, align }: Segment): void {
  bytes.writeUInt32LE(type, at)
  bytes.writeUInt32LE(flags, at + 4)
  for (const [i, value] of [offset, address, address, fileSize, memorySize, align].entries())
    bytes.writeBigUInt64LE(BigInt(value), at + 8 + 8 * i)
}

function readSection(bytes: Buffer, at: number): Section {
  return {
    name: String(bytes.readUInt32LE(at)),
    type: bytes.readUInt32LE(at + 4),
    address: u64(bytes, at + 16),
    offset: u64(bytes, at + 24),
    size: u64(bytes, at + 32),
    link: bytes.readUInt32LE(at + 40),
  }
}

const u64 = (bytes: Buffer, at: number): number => Number(bytes.readBigUInt64LE(at))
export const textAt = (bytes: Buffer, at: number): string => bytes.toString('latin1', at, bytes.indexOf(0, at))
