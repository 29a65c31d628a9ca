import fs from 'node:fs'
import { promisify } from 'node:util'
import { z } from 'zod'
import type { DatabaseMark } from '../../core/attestation/database-age.ts'
import { isKeylimeError } from '../../core/errors.ts'
import { writeFileAtomic } from '../files/atomic-file.ts'
import { readText } from '../files/read-file.ts'

/** A mark, as it stands in a database and beside it. */
export const markShape = z.object({ database: z.string(), changes: z.number().int().min(0), at: z.number().int().min(0) })

/** The file beside a database. One call at a time. */
export interface MarkFile {
  /** What a crash leaves is this mark or the one before. On the disk when it returns. @throws KeylimeError `file_failed`. */
  write(mark: DatabaseMark): Promise<void>
}

/** Of a mark: a block of its own, so that one that is being written when the power fails does not take the other along. */
const SLOT_BYTES = 4096
const SLOTS = 2
const MODE = 0o600
const { O_DSYNC, O_NOFOLLOW, O_WRONLY } = fs.constants
const writeAt = promisify(fs.write)

/**
 * The mark is written before each answer to an operator. A new file each time would cost eleven calls of the system, two of which wait for the journal of the file system; so there are two slots, which are written
 * in turns, each by one call. The larger count is the mark. What is not the file that this process made is replaced as a whole.
 * @param file as for `openMark`.
 */
export function markFile(file: string): MarkFile {
  const name = nameOf(file)
  /** Null while it is not known to be ours. */
  let made: { readonly inode: number; readonly database: string } | null = null
  let slot = 0

  /** @returns false where the file is not the one that was made: nothing is written. */
  async function writeInPlace(mark: DatabaseMark): Promise<boolean> {
    if (made?.database !== mark.database) return false
    let descriptor: number
    try {
      descriptor = fs.openSync(name, O_WRONLY | O_DSYNC | O_NOFOLLOW)
    } catch {
      return false
    }
    try {
      const { ino, size, nlink } = fs.fstatSync(descriptor)
      if (ino !== made.inode || size !== SLOTS * SLOT_BYTES || nlink !== 1) return false
      const { bytesWritten } = await writeAt(descriptor, slotOf(mark), 0, SLOT_BYTES, slot * SLOT_BYTES)
      slot = (slot + 1) % SLOTS
      return bytesWritten === SLOT_BYTES
    } catch {
      return false // the whole file is tried, and says why not
    } finally {
      fs.closeSync(descriptor)
    }
  }

  return {
    async write(mark) {
      if (await writeInPlace(mark)) return
      made = null
      await writeMark(file, mark)
      made = { inode: fs.lstatSync(name).ino, database: mark.database }
      slot = 1
    },
  }
}

/** As a whole. @param file as for `openMark`. @throws KeylimeError `file_failed`. */
export const writeMark = (file: string, mark: DatabaseMark): Promise<void> =>
  writeFileAtomic(nameOf(file), Buffer.concat([slotOf(mark), ...new Array<Buffer>(SLOTS - 1).fill(slotOf(null))]), MODE)

/** Null for none. What is there and is no mark was damaged, and is as good as none. @param file as for `openMark`. @throws KeylimeError `file_failed`. */
export async function markBeside(file: string): Promise<DatabaseMark | null> {
  const text = await readText(nameOf(file)).catch((error) => {
    if (isKeylimeError(error) && error.code === 'not_found') return null
    throw error
  })
  const marks = (text ?? '').split('\n').flatMap((line) => markOfLine(line) ?? [])
  return marks.toSorted((a, b) => b.changes - a.changes)[0] ?? null
}

const nameOf = (file: string) => `${file}.mark`

/** A line, filled up with blanks. */
const slotOf = (mark: DatabaseMark | null): Buffer =>
  Buffer.from(`${(mark ? JSON.stringify(mark) : '').padEnd(SLOT_BYTES - 1)}\n`, 'latin1')

function markOfLine(line: string): DatabaseMark | null {
  try {
    return markShape.parse(JSON.parse(line))
  } catch {
    return null
  }
}
