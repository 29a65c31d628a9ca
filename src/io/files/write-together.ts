import { randomBytes } from 'node:crypto'
import fs from 'node:fs/promises'
import path from 'node:path'
import { KeylimeError } from '../../core/errors.ts'
import { type FileData, makeDirectory, type PreparedFile, prepareFile } from './atomic-file.ts'

export interface FileToWrite {
  readonly file: string
  readonly data: FileData
  readonly mode: number
  /** The file that is there now keeps this name, with its owner; null for a file that is not there, or need not be kept. */
  readonly keptAs?: string | null
}

/** Of directories that are missing. */
const DIRECTORY_MODE = 0o755

/**
 * Writes several files that belong together, each as `writeFileAtomic` does. All that needs room is done before the first of them gets its name: where one cannot be written, as on a full disk,
 * nothing is changed, and no directory left behind. @param makesDirectories that they need and are missing. @throws KeylimeError `file_failed` naming the file.
 */
export async function writeTogether(files: readonly FileToWrite[], makesDirectories = false): Promise<void> {
  const made: string[] = []
  const prepared: PreparedFile[] = []
  try {
    for (const { file, data, mode, keptAs } of files) {
      if (makesDirectories) await makePlace(path.dirname(file), made)
      if (keptAs) prepared.push(await prepareKept(file, keptAs))
      prepared.push(await prepareFile(file, data, mode))
    }
    for (const one of prepared) await one.put()
  } catch (error) {
    for (const one of prepared) await one.drop()
    for (const directory of made.toReversed()) await fs.rmdir(directory).catch(() => undefined) // one in which others have put something stays
    throw error
  }
}

const makePlace = (directory: string, made: string[]): Promise<void> =>
  makeDirectory(directory, DIRECTORY_MODE, made).catch((cause: Error) => {
    throw new KeylimeError('file_failed', `cannot make ${directory}: ${cause.message}`, { cause })
  })

/** The file itself, with its owner: a copy would be whose the directory is, or the file that somebody had put there. */
async function prepareKept(file: string, keptAs: string): Promise<PreparedFile> {
  const temporary = path.join(path.dirname(keptAs), `.${path.basename(keptAs)}.${randomBytes(6).toString('hex')}.tmp`)
  const failed = (cause: unknown) => new KeylimeError('file_failed', `cannot write ${keptAs}: ${(cause as Error).message}`, { cause })
  const drop = () => fs.rm(temporary, { force: true }).catch(() => undefined)
  await fs.link(file, temporary).catch((cause: Error) => {
    throw failed(cause)
  })
  return {
    drop,
    put: () =>
      fs
        .rename(temporary, keptAs)
        .catch((cause: Error) => {
          throw failed(cause)
        })
        .finally(drop), // it stays where both names were the same file before
  }
}
