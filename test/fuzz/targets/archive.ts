import { createHash } from 'node:crypto'
import { ByteStream } from '../../../src/core/archive/byte-stream.ts'
import { FileDigests } from '../../../src/core/archive/file-digests.ts'
import { eachUkiSection } from '../../../src/core/archive/uki.ts'
import { demand, unlessRefusedLater } from '../target.ts'

export const LIMIT = 1 << 20
/** Nothing is compressed here: whatever says so is refused. */
export const decompress = (): never => {
  throw new Compressed()
}
class Compressed extends Error {}

/** A file of any content is found with its digest in an archive that holds it between others, if `name` is any path for a file. */
export async function findsFile(
  archive: Buffer,
  name: string,
  content: Buffer,
  read: (stream: ByteStream, files: FileDigests) => Promise<unknown>,
): Promise<void> {
  const files = new FileDigests('sha256')
  await read(new ByteStream(inPieces(archive, 1000), LIMIT), files)
  demand(
    files.digests.get(name) === createHash('sha256').update(content).digest('hex'),
    `the archive does not show ${name} with its digest`,
  )
}

/** The same of a section of an EFI program. */
export async function findsSection(program: Buffer, name: string, content: Buffer): Promise<void> {
  const found: Buffer[] = []
  await eachUkiSection(new ByteStream(inPieces(program, 1000), LIMIT), async (section, bytes) => {
    if (section.name === name) for await (const part of bytes) found.push(part)
  })
  demand(Buffer.concat(found).equals(content), `the program does not show ${name}`)
}

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
