import {
  type Elf,
  EXECUTABLE,
  findSymbol,
  LOAD,
  moveSectionTable,
  offsetOf,
  readElf,
  type Segment,
  sectionTableAt,
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
  const gap = mergeCode(elf)
  if (gap.size < entry.length) throw new Error(`no room for ${entry.length} bytes between the parts of Node's code`)
  const address = elf.segments.find(({ type }) => type === LOAD)!.address + gap.offset
  putEntry(bytes, { elf, entry, gap, address })
  return cut(bytes, elf, languages)
}

/**
 * Two neighbours of code become one segment: that gives a place between them that is mapped and empty, and frees a row of the table for another segment.
 * @returns the place between.
 */
function mergeCode({ segments }: Elf): { offset: number; size: number } {
  const isCode = (s: Segment | undefined): s is Segment => s?.type === LOAD && (s.flags & EXECUTABLE) !== 0
  const at = segments.findIndex((s, i) => isCode(s) && isCode(segments[i + 1]) && s.flags === segments[i + 1]!.flags)
  const [first, second] = [segments[at], segments[at + 1]]
  if (!first || !second || first.address - first.offset !== second.address - second.offset)
    throw new Error('Node has no two segments of code side by side')
  const end = first.offset + first.fileSize
  const offset = Math.ceil(end / 16) * 16
  const size = second.offset + second.fileSize - first.offset
  segments.splice(at, 2, { ...first, fileSize: size, memorySize: size })
  return { offset, size: second.offset - offset }
}

interface Placed {
  elf: Elf
  entry: Buffer
  gap: { offset: number }
  address: number
}

function putEntry(bytes: Buffer, { elf, entry, gap, address }: Placed): void {
  const room = bytes.subarray(gap.offset, gap.offset + entry.length)
  if (room.some((byte) => byte !== 0)) throw new Error("the place between the parts of Node's code is not empty")
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
  const from = Math.ceil((at + small.length) / PAGE) * PAGE
  const gone = Math.floor((end - from) / PAGE) * PAGE
  const index = elf.segments.findIndex(({ type, offset, fileSize }) => type === LOAD && from >= offset && from + gone < offset + fileSize)
  const whole = elf.segments[index]!
  const head = { ...whole, fileSize: from - whole.offset, memorySize: from - whole.offset }
  const start = from + gone
  const rest = whole.offset + whole.fileSize - start
  const tail = { ...whole, offset: start, address: whole.address + (start - whole.offset), fileSize: rest, memorySize: rest }
  elf.segments.splice(index, 1, head, tail)
  for (const segment of elf.segments) if (segment.offset >= start) segment.offset -= gone
  for (const section of elf.sections) {
    if (section.offset < from && section.offset + section.size > start) section.size = from - section.offset
    else if (section.offset >= start) section.offset -= gone
  }
  const result = Buffer.concat([bytes.subarray(0, from), bytes.subarray(start)])
  if (sectionTableAt(result) >= start) moveSectionTable(result, -gone)
  writeElf(result, elf)
  return result
}
