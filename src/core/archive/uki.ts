import { type ByteStream, refused } from './byte-stream.ts'

/** A section of an EFI program, in the order of the file. */
export interface UkiSection {
  name: string
  size: number
}

const DOS_HEADER = 64
const PE_HEADER = 24
const SECTION_HEADER = 40
const MAX_SECTIONS = 256
const MAX_HEADERS = 1 << 20

/** Whether bytes begin as an EFI program does, which a unified kernel image is. */
export const isEfiProgram = (head: Buffer): boolean => head.subarray(0, 2).toString('latin1') === 'MZ'

/**
 * Goes through the sections of a unified kernel image (UAPI group specification 5), front to back. @param use gets a source with the bytes of the section; what it leaves is skipped.
 * @throws KeylimeError `archive_refused`.
 */
export async function eachUkiSection(
  stream: ByteStream,
  use: (section: UkiSection, bytes: AsyncIterable<Buffer>) => Promise<void>,
): Promise<void> {
  const start = stream.position
  for (const { name, size, at } of await readSections(stream)) {
    const gap = at - (stream.position - start)
    if (gap < 0) throw refused('has sections that overlap')
    await stream.skip(gap)
    const end = stream.position + size
    await use({ name, size }, stream.part(size))
    await stream.skip(end - stream.position)
  }
}

async function readSections(stream: ByteStream): Promise<(UkiSection & { at: number })[]> {
  const dos = await stream.peek(DOS_HEADER)
  if (dos.length < DOS_HEADER) throw refused('ends too early')
  const pe = dos.readUInt32LE(0x3c)
  if (pe > MAX_HEADERS) throw refused('is not an EFI program')
  const header = await stream.peek(pe + PE_HEADER)
  if (header.length < pe + PE_HEADER || header.toString('latin1', pe, pe + 4) !== 'PE\0\0') throw refused('is not an EFI program')
  const count = header.readUInt16LE(pe + 6)
  const table = pe + PE_HEADER + header.readUInt16LE(pe + 20)
  if (count > MAX_SECTIONS || table > MAX_HEADERS) throw refused(`has ${count} sections`)
  const all = await stream.peek(table + count * SECTION_HEADER)
  if (all.length < table + count * SECTION_HEADER) throw refused('ends too early')
  const sections = Array.from({ length: count }, (_, i) => sectionOf(all.subarray(table + i * SECTION_HEADER)))
  return sections.filter(({ size }) => size > 0).sort((a, b) => a.at - b.at)
}

/** What is loaded of a section: the rest of what is in the file is filling. */
const sectionOf = (bytes: Buffer): UkiSection & { at: number } => ({
  name: bytes.toString('latin1', 0, 8).replace(/\0.*$/s, ''),
  size: Math.min(bytes.readUInt32LE(8), bytes.readUInt32LE(16)),
  at: bytes.readUInt32LE(20),
})
