import { readRpmFiles } from '../../../src/core/packages/rpm-header.ts'
import { buildRpm } from '../../package-builder.ts'
import { demand, type Target } from '../target.ts'
import { readInPieces } from './archive.ts'

const FILES = [
  { path: '/usr/bin/tool', digest: 'a'.repeat(64) },
  { path: '/etc/x', digest: 'b'.repeat(64), mode: 0o040755 },
]
/** The tag of the header's digest: with another in its place, changed headers are not refused at once. */
const withoutDigest = (rpm: Buffer) => {
  const at = rpm.indexOf(Buffer.from('00000111', 'hex'))
  return Buffer.concat([rpm.subarray(0, at), Buffer.from('000001ff', 'hex'), rpm.subarray(at + 4)])
}

/** Headers of RPM packages. */
export const rpm: Target = {
  seeds: () => [
    buildRpm('tool', FILES),
    withoutDigest(buildRpm('tool', FILES)),
    withoutDigest(buildRpm('old', FILES, { algorithm: 1, sign: () => Buffer.from('signature') })),
    withoutDigest(buildRpm('empty', [])),
  ],
  async run(input) {
    const outcome = await readInPieces(input, async (stream) => {
      const { name, algorithm, digests } = await readRpmFiles(stream)
      demand(
        [...digests.values()].every((digest) => digest === digest.toLowerCase()),
        'a digest has upper case',
      )
      return [name, algorithm, [...digests]]
    })
    demand(outcome !== 'compressed', 'headers are never compressed')
  },
}
