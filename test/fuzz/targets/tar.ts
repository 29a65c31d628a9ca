import { readTar } from '../../../src/core/archive/tar.ts'
import { buildTar } from '../../package-builder.ts'
import type { Target } from '../target.ts'
import { readInPieces } from './archive.ts'

const BLOCK = 512

/** Tar archives. Checksums are made right first: by chance hardly any is. */
export const tar: Target = {
  seeds: () => [
    buildTar([
      { name: './bin/tool', content: 'tool' },
      { name: './two', type: '1', link: './bin/tool' },
    ]),
    buildTar([
      { name: 'x', type: 'x', content: '12 path=./y\n12 size=3\n' },
      { name: './cut', content: 'pax' },
      { name: 'L', type: 'L', content: './long\0' },
      { name: 'c' },
    ]),
    buildTar([
      { name: 'd', type: '5' },
      { name: 's', type: '2', link: 'd' },
      { name: 'k', type: 'K', content: './d' },
    ]),
  ],
  words: ['ustar\0', '12 path=', 'linkpath=', 'size=', '../', '\n'],
  async run(input) {
    const archive = Buffer.concat([input, Buffer.alloc(((BLOCK - (input.length % BLOCK)) % BLOCK) + 2 * BLOCK)])
    for (let at = 0; at < input.length; at += BLOCK) withCheckSum(archive.subarray(at, at + BLOCK))
    await readInPieces(input, (stream, files) => readTar(stream, files))
    await readInPieces(archive, (stream, files) => readTar(stream, files))
  },
}

function withCheckSum(block: Buffer): void {
  if (block.every((byte) => byte === 0)) return
  block.write('        ', 148)
  block.write(
    `${block
      .reduce((sum, byte) => sum + byte, 0)
      .toString(8)
      .padStart(6, '0')}\0 `,
    148,
  )
}
