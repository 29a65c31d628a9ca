import { readInitrd } from '../../../src/core/archive/initrd.ts'
import { buildCpio } from '../../package-builder.ts'
import type { Target } from '../target.ts'
import { decompress, LIMIT, readInPieces } from './archive.ts'

const FILES = [
  { name: 'init', content: 'x' },
  { name: 'a', content: '', inode: 7, links: 2 },
  { name: './usr/b', content: 'linked', inode: 7, links: 2 },
  { name: 'dir', mode: 0o040755 },
]

/** Initial RAM disks of cpio archives. */
export const cpio: Target = {
  seeds: () => [buildCpio(FILES), Buffer.concat([buildCpio([FILES[0]!]), Buffer.alloc(8), buildCpio([FILES[1]!])]), buildCpio([])],
  words: ['070701', '070702', 'TRAILER!!!', '../', '00000000', '000081ed'],
  run: async (input) => void (await readInPieces(input, (stream, files) => readInitrd(stream, files, decompress, LIMIT))),
}
