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
export async function readInitrd(
  stream: ByteStream,
  files: FileDigests,
  decompress: Decompress,
  limit: number,
  nesting = 0,
): Promise<void> {
  let count = 0
  while (await stream.skipZeros()) {
    const magic = Buffer.from(await stream.peek(6))
    if (isCpio(magic)) await readCpio(stream, files)
    else {
      const kind = compressionOf(magic)
      if (!kind)
        throw refused(count === 0 ? 'is no initial RAM disk' : 'has something behind its cpio archives that is neither cpio nor compressed')
      if (nesting >= MAX_NESTING) throw refused('is compressed too many times')
      await readInitrd(new ByteStream(decompress(kind, stream.rest()), limit), files, decompress, limit, nesting + 1)
    }
    count++
  }
  if (count === 0) throw refused('is empty')
}
