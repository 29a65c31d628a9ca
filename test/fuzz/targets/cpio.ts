import type { ByteStream } from '../../../src/core/archive/byte-stream.ts'
import type { FileDigests } from '../../../src/core/archive/file-digests.ts'
import { readInitrd } from '../../../src/core/archive/initrd.ts'
import { buildCpio } from '../../package-builder.ts'
import type { Target } from '../target.ts'
import { decompress, findsFile, LIMIT, readInPieces } from './archive.ts'

const FILES = [
  { name: 'init', content: 'x' },
  { name: 'a', content: '', inode: 7, links: 2 },
  { name: './usr/b', content: 'linked', inode: 7, links: 2 },
  { name: 'dir', mode: 0o040755 },
]

/** Initial RAM disks of cpio archives. */
export const cpio: Target = {
  seeds: () => [
    buildCpio(FILES),
    buildCpio([{ name: 'a/../../x', content: 'x' }]),
    Buffer.concat([buildCpio([FILES[0]!]), Buffer.alloc(8), buildCpio([FILES[1]!])]),
    buildCpio([]),
  ],
  words: ['070701', '070702', 'TRAILER!!!', '../', '00000000', '000081ed'],
  async run(input) {
    const read = (stream: ByteStream, files: FileDigests) => readInitrd(stream, files, decompress, LIMIT)
    await readInPieces(input, read)
    await findsFile(buildCpio([FILES[0]!, { name: 'it', content: input }, FILES[0]!]), '/it', input, read)
  },
}
