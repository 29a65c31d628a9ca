export type Compression = 'gzip' | 'zstd' | 'xz' | 'lzma' | 'bzip2' | 'lz4' | 'lzo'

const MAGICS: readonly [Compression, string][] = [
  ['gzip', '1f8b'],
  ['zstd', '28b52ffd'],
  ['xz', 'fd377a585a00'],
  ['lzma', '5d0000'],
  ['bzip2', '425a68'],
  ['lz4', '02214c18'],
  ['lz4', '04224d18'],
  ['lzo', '894c5a4f'],
]

/** By the first bytes; null for none that is known. */
export const compressionOf = (magic: Buffer): Compression | null =>
  MAGICS.find(([, hex]) => magic.subarray(0, hex.length / 2).equals(Buffer.from(hex, 'hex')))?.[0] ?? null
