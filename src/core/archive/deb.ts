import { readAr } from './ar.ts'
import { ByteStream, refused } from './byte-stream.ts'
import { compressionOf } from './compression.ts'
import type { FileDigests } from './file-digests.ts'
import type { Decompress } from './initrd.ts'
import { readTar } from './tar.ts'

/** Reads the files of a Debian package to its end. @throws KeylimeError `archive_refused`. */
export async function readDeb(stream: ByteStream, files: FileDigests, decompress: Decompress, limit: number): Promise<void> {
  let found = false
  for await (const { name, size } of readAr(stream)) {
    if (!name.startsWith('data.tar')) continue
    found = true
    const kind = compressionOf(Buffer.from(await stream.peek(Math.min(6, size))))
    const source = stream.part(size)
    const tar = new ByteStream(kind ? decompress(kind, source) : source, limit)
    await readTar(tar, files)
    for await (const _rest of tar.rest()); // what stands behind the last entry, so that the package is read to its end
  }
  if (!found) throw refused('is not a Debian package: it has no data.tar')
}
