import { eachUkiSection, isEfiProgram } from '../../../src/core/archive/uki.ts'
import { demand, type Target } from '../target.ts'
import { findsSection, readInPieces } from './archive.ts'

const SECTION_HEADER = 40

/** Unified kernel images: read whole and in pieces they have the same sections, inside of the file and one behind the other; and a section of any content is found. */
export const uki: Target = {
  seeds: () => [
    efi([['.osrel', Buffer.from('ID=x\n')]]),
    efi([
      ['.linux', Buffer.alloc(300, 7)],
      ['.initrd', Buffer.from('070701')],
      ['.cmdline', Buffer.from('quiet')],
    ]),
    efi([]).subarray(0, 80),
  ],
  words: ['MZ', 'PE\0\0', '.initrd', '.linux\0\0'],
  async run(input) {
    const outcome = await readInPieces(input, async (stream) => {
      if (!isEfiProgram(await stream.peek(2))) return null
      const sections: { name: string; size: number; read: number }[] = []
      await eachUkiSection(stream, async ({ name, size }, bytes) => {
        let read = 0
        for await (const part of bytes) read += part.length
        sections.push({ name, size, read })
      })
      return sections
    })
    if (outcome !== null && outcome !== 'compressed') {
      const sections = (JSON.parse(outcome) as [unknown, { size: number; read: number }[] | null])[1] ?? []
      demand(
        sections.every(({ size, read }) => size === read),
        'a section is shorter than it says',
      )
      demand(sections.reduce((sum, { size }) => sum + size, 0) <= input.length, 'the sections are more than the file')
    }
    await findsSection(
      efi([
        ['.first', input.subarray(0, 40)],
        ['.initrd', input],
        ['.last', input.subarray(0, 3)],
      ]),
      '.initrd',
      input,
    )
  },
}

/** An EFI program with nothing but its sections. */
function efi(sections: readonly (readonly [name: string, content: Buffer])[]): Buffer {
  const head = Buffer.alloc(64 + 24 + sections.length * SECTION_HEADER)
  head.write('MZ')
  head.writeUInt32LE(64, 0x3c)
  head.write('PE\0\0', 64)
  head.writeUInt16LE(sections.length, 64 + 6)
  let at = head.length
  for (const [i, [name, content]] of sections.entries()) {
    const entry = head.subarray(88 + i * SECTION_HEADER)
    entry.write(name.slice(0, 8))
    entry.writeUInt32LE(content.length, 8)
    entry.writeUInt32LE(content.length, 16)
    entry.writeUInt32LE(at, 20)
    at += content.length
  }
  return Buffer.concat([head, ...sections.map(([, content]) => content)])
}
