import fc from 'fast-check'
import { ByteStream } from '../../../src/core/archive/byte-stream.ts'
import { readDeb } from '../../../src/core/archive/deb.ts'
import { FileDigests } from '../../../src/core/archive/file-digests.ts'
import { readInitrd } from '../../../src/core/archive/initrd.ts'
import { isKeylimeError } from '../../../src/core/errors.ts'
import { readRpmFiles } from '../../../src/core/packages/rpm-header.ts'
import { buildCpio, buildDeb, buildRpm, buildTar } from '../../package-builder.ts'
import { runs } from '../../thorough.ts'

const LIMIT = 1 << 20
const cpio = buildCpio([
  { name: 'init', content: 'x' },
  { name: 'b', content: 'linked', inode: 7, links: 2 },
])
const deb = buildDeb(
  buildTar([
    { name: './bin/tool', content: 'tool' },
    { name: './two', type: '1', link: './bin/tool' },
    { name: './pax', type: 'x', content: '12 path=./y\n' },
    { name: './cut', content: 'pax' },
  ]),
)
const rpm = buildRpm('tool', [{ path: '/usr/bin/tool', digest: 'a'.repeat(64) }])
/** Nothing is decompressed here: compressed content is refused. */
const decompress = () => {
  throw new Error('not here')
}
async function* inPieces(bytes: Buffer, size: number): AsyncGenerator<Buffer> {
  for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size)
}

const READERS: [string, Buffer, (stream: ByteStream) => Promise<unknown>][] = [
  ['cpio', cpio, (stream) => readInitrd(stream, new FileDigests('sha256'), decompress, LIMIT)],
  ['deb', deb, (stream) => readDeb(stream, new FileDigests('sha256'), decompress, LIMIT)],
  ['rpm', rpm, (stream) => readRpmFiles(stream)],
]

test.each(READERS)('a damaged %s is read or refused, never a bug; the size of the pieces does not matter', async (_name, archive, read) => {
  const outcome = async (bytes: Buffer, size: number) => {
    try {
      await read(new ByteStream(inPieces(bytes, size), LIMIT))
      return 'read'
    } catch (error) {
      if (!isKeylimeError(error) && (error as Error).message !== 'not here') throw error
      return (error as Error).message
    }
  }
  const change = fc.tuple(fc.nat(archive.length - 1), fc.integer({ min: 0, max: 255 }))
  await fc.assert(
    fc.asyncProperty(
      fc.array(change, { maxLength: 4 }),
      fc.integer({ min: 0, max: archive.length }),
      fc.integer({ min: 1, max: 700 }),
      async (changes, end, size) => {
        const bytes = Buffer.from(archive)
        for (const [at, value] of changes) bytes[at] = value
        for (const form of [bytes, bytes.subarray(0, end)]) expect(await outcome(form, size)).toBe(await outcome(form, 1 << 16))
      },
    ),
    { numRuns: runs(300, 100) },
  )
  expect(await outcome(archive, 7)).toBe('read')
})

test('a source that does not end is left at its limit', async () => {
  async function* endless(): AsyncGenerator<Buffer> {
    for (;;) yield Buffer.alloc(4096)
  }
  await expect(new ByteStream(endless(), LIMIT).skipZeros()).rejects.toMatchObject({ code: 'archive_refused' })
})
