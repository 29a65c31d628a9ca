import { ByteStream, refused } from './byte-stream.ts'
import { type Compression, compressionOf } from './compression.ts'
import { isCpio, readCpio } from './cpio.ts'
import type { FileDigests } from './file-digests.ts'

export type Decompress = (kind: Compression, source: AsyncIterable<Uint8Array>) => AsyncIterable<Uint8Array>

const MAX_NESTING = 3

/**
 * Reads an initial RAM disk as the kernel does: cpio archives one behind the other, such as that with microcode, the last of them or all compressed.
 * @param limit bytes of what is decompressed. @throws KeylimeError `archive_refused`.
 */
export const readInitrd = (stream: ByteStream, files: FileDigests, decompress: Decompress, limit: number): Promise<void> =>
  readLayer(stream, 0, { files, decompress, limit })

/** @param nesting how many compressions it stands in. */
async function readLayer(
  stream: ByteStream,
  nesting: number,
  reading: { files: FileDigests; decompress: Decompress; limit: number },
): Promise<void> {
  let count = 0
  while (await stream.skipZeros()) {
    const magic = Buffer.from(await stream.peek(6))
    if (isCpio(magic)) await readCpio(stream, reading.files)
    else {
      const kind = compressionOf(magic)
      if (!kind)
        throw refused(
          count === 0 ? 'is not an initial RAM disk' : 'has something after its cpio archives that is neither cpio nor compressed',
        )
      if (nesting >= MAX_NESTING) throw refused('is compressed too many times')
      await readLayer(new ByteStream(reading.decompress(kind, stream.rest()), reading.limit), nesting + 1, reading)
    }
    count++
  }
  if (count === 0) throw refused('is empty')
}
