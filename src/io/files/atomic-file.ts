import { randomBytes } from 'node:crypto'
import fs from 'node:fs'
import path from 'node:path'
import { KeylimeError } from '../../core/errors.ts'

const { O_WRONLY, O_CREAT, O_EXCL, O_NOFOLLOW } = fs.constants

/**
 * Writes a whole file: whoever reads, also after a crash at any point, finds the old or the new content, with exactly `mode`. A link at `file` is
 * replaced, not followed.
 * @throws KeylimeError `file_failed`.
 */
export function writeFileAtomic(file: string, content: string | Uint8Array, mode: number): void {
  const temporary = path.join(path.dirname(file), `.${path.basename(file)}.${randomBytes(6).toString('hex')}`)
  try {
    writeNew(temporary, content, mode)
    fs.renameSync(temporary, file)
    syncDirectory(path.dirname(file))
  } catch (cause) {
    fs.rmSync(temporary, { force: true })
    throw new KeylimeError('file_failed', `cannot write ${file}: ${(cause as Error).message}`, { cause })
  }
}

function writeNew(file: string, content: string | Uint8Array, mode: number): void {
  const fd = fs.openSync(file, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, mode)
  try {
    fs.fchmodSync(fd, mode) // the umask took bits away
    const bytes = typeof content === 'string' ? Buffer.from(content) : content
    for (let at = 0; at < bytes.length; ) at += fs.writeSync(fd, bytes, at)
    fs.fsyncSync(fd)
  } finally {
    fs.closeSync(fd)
  }
}

/** Makes a rename or a new name durable. */
export function syncDirectory(directory: string): void {
  const fd = fs.openSync(directory, fs.constants.O_RDONLY | fs.constants.O_DIRECTORY)
  try {
    fs.fsyncSync(fd)
  } finally {
    fs.closeSync(fd)
  }
}
