import { readDeb } from '../../../src/core/archive/deb.ts'
import { buildDeb, buildTar } from '../../package-builder.ts'
import type { Target } from '../target.ts'
import { decompress, LIMIT, readInPieces } from './archive.ts'

/** Debian packages: `ar` archives around a tar archive. */
export const deb: Target = {
  seeds: () => [
    buildDeb(buildTar([{ name: './bin/tool', content: 'tool' }])),
    buildDeb(buildTar([]), 'data.tar.xz'),
    buildDeb(Buffer.from('1f8b'), 'data.tar.gz'),
    Buffer.from('!<arch>\n'),
  ],
  words: ['!<arch>\n', '`\n', 'data.tar', 'data.tar/', '4         '],
  run: async (input) => void (await readInPieces(input, (stream, files) => readDeb(stream, files, decompress, LIMIT))),
}
