import { ByteStream } from '../../../src/core/archive/byte-stream.ts'
import { FileDigests } from '../../../src/core/archive/file-digests.ts'
import { demand, unlessRefusedLater } from '../target.ts'

export const LIMIT = 1 << 20
/** Nothing is compressed here: whatever says so is refused. */
export const decompress = (): never => {
  throw new Compressed()
}
class Compressed extends Error {}

/** Reads an archive whole, and in small pieces: the outcome is the same, and every path is absolute and leads nowhere else. */
export async function readInPieces(
  input: Buffer,
  read: (stream: ByteStream, files: FileDigests) => Promise<unknown>,
): Promise<string | null> {
  const outcomes = await Promise.all(
    [input.length + 1, 1 + ((input[0] ?? 0) % 61)].map((size) => outcomeOf(new ByteStream(inPieces(input, size), LIMIT), read)),
  )
  demand(outcomes[0] === outcomes[1], () => `whole it gives ${outcomes[0]?.slice(0, 500)}, in pieces ${outcomes[1]?.slice(0, 500)}`)
  return outcomes[0]!
}

async function outcomeOf(stream: ByteStream, read: (stream: ByteStream, files: FileDigests) => Promise<unknown>): Promise<string | null> {
  const files = new FileDigests('sha256')
  try {
    const result = await unlessRefusedLater(['archive_refused'], async () => ({ value: await read(stream, files) }))
    if (!result) return null
    for (const [name, digest] of files.digests) {
      demand(name.startsWith('/') && !name.split('/').includes('..'), () => `a file has the path ${JSON.stringify(name.slice(0, 200))}`)
      demand(/^[0-9a-f]{64}$/.test(digest), 'a digest is none')
    }
    return JSON.stringify([[...files.digests], result.value ?? null, stream.position])
  } catch (error) {
    if (error instanceof Compressed) return 'compressed'
    throw error
  }
}

async function* inPieces(bytes: Buffer, size: number): AsyncGenerator<Buffer> {
  for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size)
}
