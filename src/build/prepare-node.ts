import {
  type Elf,
  EXECUTABLE,
  findSymbol,
  LOAD,
  moveSectionTable,
  moveSegmentTable,
  offsetOf,
  readElf,
  rowsOf,
  type Segment,
  sectionTableAt,
  tableSize,
  writeElf,
} from './elf.ts'
import { withoutLanguages } from './icu-data.ts'

export interface LanguageData {
  readonly address: number
  readonly size: number
}

const PAGE = 0x10000 // the largest of both machines

/** Where ICU's data are. Of Node as it comes: a stripped one has no names. */
export function findLanguageData(node: Buffer): LanguageData {
  return findSymbol(node, readElf(node), /^icudt\d+_dat$/)
}

/**
 * Node as the base of our executable: our own code is the first that runs in it (native/entry.c), and the languages of ICU are left out. Addresses in memory stay
 * what they are; the file is shorter by what nobody reads.
 * @param node stripped. @param entry code that runs wherever it is put, with room for the distance to the old entry point in its last eight bytes.
 */
export function prepareNode(node: Buffer, entry: Buffer, languages: LanguageData): Buffer {
  const bytes = Buffer.from(node)
  const elf = readElf(bytes)
  const place = betweenCode(elf) ?? behindCode(elf)
  if (place.size < entry.length) throw new Error(`no room for ${entry.length} bytes beside Node's code`)
  putEntry(bytes, { elf, entry, place })
  return cut(bytes, elf, languages)
}

/** Empty bytes of the file that are mapped as code. */
interface Place {
  offset: number
  address: number
  size: number
}

const isCode = (s: Segment | undefined): s is Segment => s?.type === LOAD && (s.flags & EXECUTABLE) !== 0

/** Two neighbours of code (x64) become one segment: that gives a place between them, and frees a row of the table for another segment. */
function betweenCode({ segments }: Elf): Place | undefined {
  const at = segments.findIndex((s, i) => isCode(s) && isCode(segments[i + 1]) && s.flags === segments[i + 1]!.flags)
  const [first, second] = [segments[at], segments[at + 1]]
  if (!first || !second || first.address - first.offset !== second.address - second.offset) return undefined
  const end = first.offset + first.fileSize
  const offset = Math.ceil(end / 16) * 16
  const size = second.offset + second.fileSize - first.offset
  segments.splice(at, 2, { ...first, fileSize: size, memorySize: size })
  return { offset, address: first.address + offset - first.offset, size: second.offset - offset }
}

/** The only segment of code (arm64) becomes longer, up to the page of the next. */
function behindCode({ segments }: Elf): Place {
  const code = segments.findLast(isCode)
  const next = code && segments.find((s) => s.type === LOAD && s.address > code.address)
  if (!code || !next) throw new Error('there is no place for code in this Node')
  const offset = Math.ceil((code.offset + code.fileSize) / 16) * 16
  const address = code.address + offset - code.offset
  const size = Math.min(next.offset - offset, Math.floor(next.address / PAGE) * PAGE - address)
  code.fileSize = code.memorySize = offset + size - code.offset
  return { offset, address, size }
}

interface Placed {
  elf: Elf
  entry: Buffer
  place: Place
}

function putEntry(bytes: Buffer, { elf, entry, place: { offset, address } }: Placed): void {
  const room = bytes.subarray(offset, offset + entry.length)
  if (room.some((byte) => byte !== 0)) throw new Error("the place beside Node's code is not empty")
  entry.copy(room)
  const distanceAt = entry.length - 8
  room.writeBigInt64LE(BigInt(elf.entry - (address + distanceAt)), distanceAt)
  elf.entry = address
}

/** Writes the smaller data over the old ones, and takes what is behind them out of the file: its segment becomes two. */
function cut(bytes: Buffer, elf: Elf, languages: LanguageData): Buffer {
  const at = offsetOf(elf, languages.address)
  const end = at + languages.size
  const small = withoutLanguages(bytes.subarray(at, end))
  bytes.fill(0, at, end)
  small.copy(bytes, at)
  const { used, table } = behindData(elf, bytes, at + small.length)
  const from = Math.ceil((used + SPARE) / PAGE) * PAGE
  const gone = Math.floor((end - from) / PAGE) * PAGE
  const index = elf.segments.findIndex(({ type, offset, fileSize }) => type === LOAD && from >= offset && from + gone < offset + fileSize)
  const whole = elf.segments[index]!
  const head = { ...whole, fileSize: used - whole.offset, memorySize: used - whole.offset }
  const start = from + gone
  const rest = whole.offset + whole.fileSize - start
  const tail = { ...whole, offset: start, address: whole.address + (start - whole.offset), fileSize: rest, memorySize: rest }
  elf.segments.splice(index, 1, head, tail)
  for (const segment of elf.segments) if (segment.offset >= start) segment.offset -= gone
  for (const section of elf.sections) {
    if (section.offset < from && section.offset + section.size > start) section.size = used - section.offset
    else if (section.offset >= start) section.offset -= gone
  }
  const result = Buffer.concat([bytes.subarray(0, from), bytes.subarray(start)])
  if (table !== null) moveSegmentTable(result, elf, { offset: table, segment: head })
  if (sectionTableAt(result) >= start) moveSectionTable(result, -gone)
  writeElf(result, elf)
  return result
}

/** Between the parts of a segment that was cut: there the table of segments goes when the executable is filled (pkg adds two rows). Without a place it grows by the distance of the addresses. */
const SPARE = 4096

/** @param end of the smaller data. @returns where the table goes that has one row more than there is room for, null when there is room; and how far the file is used. */
function behindData({ segments }: Elf, bytes: Buffer, end: number): { used: number; table: number | null } {
  const table = Math.ceil(end / 16) * 16
  return segments.length < rowsOf(bytes) ? { used: table, table: null } : { used: table + tableSize(segments.length + 1), table }
}
