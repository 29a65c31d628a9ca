import { spawn } from 'node:child_process'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import zlib from 'node:zlib'
import type { Compression } from '../../core/archive/compression.ts'
import { isKeylimeError, KeylimeError } from '../../core/errors.ts'

/** What Node cannot do: the program, and the Debian package that has it. */
const PROGRAMS: Record<Exclude<Compression, 'gzip' | 'zstd'>, { command: string[]; package: string }> = {
  xz: { command: ['xz', '-dc'], package: 'xz-utils' },
  lzma: { command: ['xz', '-dc', '--format=lzma'], package: 'xz-utils' },
  bzip2: { command: ['bzip2', '-dc'], package: 'bzip2' },
  lz4: { command: ['lz4', '-dc'], package: 'lz4' },
  lzo: { command: ['lzop', '-dc'], package: 'lzop' },
}

/**
 * The content of a compressed source, piece by piece: gzip and zstd here, the others by the system's programs.
 * @throws KeylimeError `archive_refused` for damaged content, `not_found` when a program is missing.
 */
export async function* decompress(kind: Compression, source: AsyncIterable<Uint8Array>): AsyncGenerator<Buffer> {
  const pieces =
    kind === 'gzip'
      ? inflate(zlib.createGunzip(), source)
      : kind === 'zstd'
        ? inflate(zlib.createZstdDecompress(), source)
        : run(kind, source)
  try {
    yield* pieces
  } catch (cause) {
    if (isKeylimeError(cause)) throw cause
    throw new KeylimeError('archive_refused', `the ${kind} content cannot be decompressed: ${(cause as Error).message}`, { cause })
  }
}

async function* inflate(transform: zlib.Gunzip | zlib.ZstdDecompress, source: AsyncIterable<Uint8Array>): AsyncGenerator<Buffer> {
  const fed = pipeline(Readable.from(source), transform)
  fed.catch(() => undefined) // the reader below gets it
  for await (const piece of transform as AsyncIterable<Buffer>) yield piece
  await fed
}

async function* run(kind: keyof typeof PROGRAMS, source: AsyncIterable<Uint8Array>): AsyncGenerator<Buffer> {
  const { command, package: debianPackage } = PROGRAMS[kind]
  const [program = '', ...options] = command
  const child = spawn(program, options, { stdio: ['pipe', 'pipe', 'pipe'], env: process.env })
  let failure: Error | undefined
  let words = ''
  const ended = new Promise<number | null>((resolve) => {
    child.on('close', resolve)
    child.on('error', (error) => {
      failure = error
      resolve(null)
    })
  })
  child.stderr.on('data', (text) => {
    words = `${words}${text}`.slice(0, 500)
  })
  const fed = pipeline(Readable.from(source), child.stdin).catch((error: NodeJS.ErrnoException) => {
    if (error.code !== 'EPIPE') failure ??= error // it has read enough, or died: its status tells
  })
  try {
    for await (const piece of child.stdout as AsyncIterable<Buffer>) yield piece
    const status = await ended
    if ((failure as NodeJS.ErrnoException | undefined)?.code === 'ENOENT')
      throw new KeylimeError('not_found', `the program ${program}, which reads ${kind}, is not installed`, {
        hint: `sudo apt install ${debianPackage} (or your distribution’s package of it)`,
      })
    await fed
    if (failure) throw failure
    if (status !== 0) throw new Error(words.trim() || `${program} ended with status ${status}`)
  } finally {
    child.kill()
    child.stdin.destroy()
  }
}
