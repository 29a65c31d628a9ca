import { createHash } from 'node:crypto'
import fs from 'node:fs'
import { ByteStream } from '../../../core/archive/byte-stream.ts'
import { FileDigests } from '../../../core/archive/file-digests.ts'
import { isKeylimeError, KeylimeError } from '../../../core/errors.ts'
import { addDigest } from '../../../core/ima/policy-document.ts'
import type { ListedDigest } from '../../../core/packages/rpm-index.ts'
import { unreadable } from '../../../io/files/read-file.ts'
import type { DigestSourceContext } from '../digest-source.ts'

/** Bytes of one archive, and of what is in it: many times what is usual, and an end for what is hostile. */
export const MAX_ARCHIVE = 16 * 2 ** 30
/** Bytes of a list of packages. */
export const MAX_INDEX = 512 << 20
/** Archives that are read at once. */
export const AT_ONCE = 8

/** Digests of one archive: added only when it was read to its end and found good. @throws KeylimeError that names the archive. */
export async function addArchive(name: string, context: DigestSourceContext, read: (files: FileDigests) => Promise<void>): Promise<number> {
  const files = new FileDigests(context.algorithm)
  await naming(name, () => read(files))
  for (const [path, digest] of files.digests) addDigest(context.parts.digests, path, digest)
  return files.digests.size
}

/** Failures of `work` with the name of what is read. */
export async function naming<T>(name: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work()
  } catch (cause) {
    if (isKeylimeError(cause)) {
      if (cause.message.startsWith(name)) throw cause
      throw new KeylimeError(cause.code, `${name}: ${cause.message}`, { ...(cause.hint ? { hint: cause.hint } : {}), cause: cause.cause })
    }
    if (!(cause as NodeJS.ErrnoException).code?.startsWith('E')) throw cause
    throw unreadable(name, cause)
  }
}

export const readable = (file: string): AsyncIterable<Uint8Array> => fs.createReadStream(file, { highWaterMark: 1 << 18 })

/** Reads a source, and closes it whatever happens. */
export async function withStream<T>(source: AsyncIterable<Uint8Array>, work: (stream: ByteStream) => Promise<T>): Promise<T> {
  const stream = new ByteStream(source, MAX_ARCHIVE)
  try {
    return await work(stream)
  } finally {
    await stream.close()
  }
}

/** The same bytes; at their end they must have this SHA-256. */
export const withSha256 = (source: AsyncIterable<Uint8Array>, hex: string): AsyncGenerator<Uint8Array> =>
  withDigest(source, { algorithm: 'sha256', hex })

/** The same bytes; at their end they must have this digest. */
export async function* withDigest(source: AsyncIterable<Uint8Array>, expected: ListedDigest): AsyncGenerator<Uint8Array> {
  const hash = createHash(expected.algorithm)
  for await (const piece of source) {
    hash.update(piece)
    yield piece
  }
  checkDigest(hash.digest('hex'), expected)
}

/** @throws KeylimeError `refused`. */
export const checkSha256 = (got: string, hex: string): void => checkDigest(got, { algorithm: 'sha256', hex })

function checkDigest(got: string, { algorithm, hex }: ListedDigest): void {
  const name = algorithm.replace('sha', 'SHA-')
  if (got !== hex)
    throw new KeylimeError('refused', `has ${name} ${got}, the repository’s list says ${hex}`, {
      hint: 'it was changed or is being updated: fetch it again, and do not use it before the two agree',
    })
}
