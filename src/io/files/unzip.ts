import fs from 'node:fs'
import path from 'node:path'
import type { Readable } from 'node:stream'
import { setImmediate as othersTurn } from 'node:timers/promises'
import { crc32 } from 'node:zlib'
import yauzl, { type Entry, type ZipFile } from 'yauzl'
import { KeylimeError } from '../../core/errors.ts'
import { type ArchiveEntry, type ArchiveLimits, type ArchivePlan, planArchive, shownName } from '../../core/payload/archive-plan.ts'

/** Made before others have their turn: each costs some 20 µs. */
const DIRECTORIES_A_TURN = 256

const { O_WRONLY, O_CREAT, O_EXCL, O_NOFOLLOW } = fs.constants

/** A zip whose whole central directory was read and found harmless. */
export interface OpenArchive {
  plan: ArchivePlan
  /**
   * Writes it into `directory`, which must be new and ours. Directories get 0700, files 0600 or 0700. Sizes and checksums of what is inflated must be those
   * of the plan. @throws KeylimeError `archive_refused` or `file_failed`: remove the directory then.
   */
  extract(directory: string): Promise<void>
}

/** Reads and judges a zip in memory; nothing is written. @throws KeylimeError `archive_refused`. */
export async function openArchive(zip: Buffer, limits: ArchiveLimits): Promise<OpenArchive> {
  const { file, entries } = await readCentralDirectory(zip, limits.maxEntries)
  const plan = planArchive(entries.map(archiveEntry), limits)
  return { plan, extract: (directory) => extract(file, entries, plan, directory) }
}

async function readCentralDirectory(zip: Buffer, maxEntries: number): Promise<{ file: ZipFile; entries: Entry[] }> {
  const entries: Entry[] = []
  try {
    const options = { lazyEntries: true, decodeStrings: false, validateEntrySizes: true, autoClose: false }
    const file = await new Promise<ZipFile>((resolve, reject) =>
      yauzl.fromBuffer(zip, options, (error, opened) => (error ? reject(error) : resolve(opened))),
    )
    await new Promise<void>((resolve, reject) => {
      file.on('error', reject)
      file.on('end', resolve)
      file.on('entry', (entry: Entry) => {
        entries.push(entry)
        if (entries.length > maxEntries) resolve()
        else file.readEntry()
      })
      file.readEntry()
    })
    return { file, entries }
  } catch (cause) {
    throw new KeylimeError('archive_refused', `the archive is refused: ${(cause as Error).message}`, { cause })
  }
}

const archiveEntry = (entry: Entry): ArchiveEntry => ({
  name: Buffer.from(entry.fileNameRaw),
  compressedSize: entry.compressedSize,
  uncompressedSize: entry.uncompressedSize,
  compressionMethod: entry.compressionMethod,
  generalPurposeFlags: entry.generalPurposeBitFlag,
  versionMadeBy: entry.versionMadeBy,
  externalAttributes: entry.externalFileAttributes,
})

async function extract(file: ZipFile, entries: Entry[], plan: ArchivePlan, directory: string): Promise<void> {
  for (const [i, name] of plan.directories.entries()) {
    fs.mkdirSync(path.join(directory, name), { mode: 0o700 })
    if (i % DIRECTORIES_A_TURN === 0) await othersTurn()
  }
  for (const { index, name, size, mode } of plan.files) {
    const content = await inflate(file, entries[index]!, name, size)
    writeNew(path.join(directory, name), content, mode)
  }
}

async function inflate(file: ZipFile, entry: Entry, name: string, size: number): Promise<Buffer> {
  const wrong = (reason: string, cause?: unknown) =>
    new KeylimeError('archive_refused', `the archive is refused: ${shownName(name)} ${reason}`, { cause })
  const chunks: Buffer[] = []
  let length = 0
  try {
    const stream = await new Promise<Readable>((resolve, reject) =>
      file.openReadStream(entry, (error, opened) => (error ? reject(error) : resolve(opened))),
    )
    for await (const chunk of stream as AsyncIterable<Buffer>) {
      length += chunk.length
      if (length > size) throw wrong('is larger than its entry says')
      chunks.push(chunk)
    }
  } catch (error) {
    throw error instanceof KeylimeError ? error : wrong(`cannot be inflated: ${(error as Error).message}`, error)
  }
  const content = Buffer.concat(chunks)
  if (length !== size) throw wrong('is smaller than its entry says')
  if (crc32(content) !== entry.crc32) throw wrong('has a wrong checksum')
  return content
}

/** Never follows or overwrites anything. */
function writeNew(file: string, content: Buffer, mode: number): void {
  try {
    const fd = fs.openSync(file, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, mode)
    try {
      fs.fchmodSync(fd, mode)
      for (let at = 0; at < content.length; ) at += fs.writeSync(fd, content, at)
    } finally {
      fs.closeSync(fd)
    }
  } catch (cause) {
    const full = (cause as NodeJS.ErrnoException).code === 'ENOSPC'
    throw new KeylimeError('file_failed', `cannot write ${file}: ${(cause as Error).message}`, {
      cause,
      ...(full ? { hint: 'the tmpfs is full: raise secure_size in agent.conf' } : {}),
    })
  }
}
