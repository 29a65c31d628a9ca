import { randomBytes } from 'node:crypto'
import { constants } from 'node:fs'
import fs from 'node:fs/promises'
import path from 'node:path'
import { KeylimeError } from '../../core/errors.ts'

/**
 * Writes a whole file or nothing: a crash at any point leaves the old content or the new one, with exactly `mode`, whatever the umask. A link in its place
 * is replaced, not followed; a device such as /dev/null, or a link of /dev such as /dev/stdout, is written to. What root replaces keeps its owner, and what root makes in another user's directory is that
 * user's: the service whose it is can go on. @throws KeylimeError `file_failed` naming the file.
 */
export async function writeFileAtomic(file: string, data: FileData, mode: number): Promise<void> {
  await (await prepareFile(file, data, mode)).put()
}

export type FileData = string | Uint8Array | Iterable<string>

/** A file that is on the disk, under a name of its own. */
export interface PreparedFile {
  /** Gives it its name. @throws KeylimeError `file_failed` naming the file. */
  put(): Promise<void>
  /** Removes it, if it has not got its name. */
  drop(): Promise<void>
}

/** The first half of `writeFileAtomic`: all that needs room. Nothing is changed yet. @throws KeylimeError `file_failed` naming the file. */
export async function prepareFile(file: string, data: FileData, mode: number): Promise<PreparedFile> {
  if (await isDevice(file)) return { put: () => writeTo(file, data), drop: async () => undefined }
  const temporary = path.join(path.dirname(file), `.${path.basename(file)}.${randomBytes(6).toString('hex')}.tmp`)
  const drop = () => fs.rm(temporary, { force: true }).catch(() => undefined)
  const failed = (cause: unknown) => new KeylimeError('file_failed', `cannot write ${file}: ${(cause as Error).message}`, { cause })
  try {
    const handle = await fs.open(temporary, 'wx', mode)
    try {
      await handle.writeFile(data)
      await keepOwner(handle, file)
      await handle.chmod(mode) // after the owner, whose change takes bits away
      await handle.sync()
    } finally {
      await handle.close()
    }
  } catch (cause) {
    await drop()
    throw failed(cause)
  }
  return {
    drop,
    async put() {
      try {
        await fs.rename(temporary, file)
        await syncDirectory(path.dirname(file))
      } catch (cause) {
        await drop()
        throw failed(cause)
      }
    },
  }
}

/** Root would put a file in its place, and all programs of the machine would write to that. */
async function isDevice(file: string): Promise<boolean> {
  const found = await fs.lstat(file).catch(() => undefined)
  return found?.isCharacterDevice() === true || (found?.isSymbolicLink() === true && LINK_OF_DEVICES.test(path.resolve(file)))
}

const LINK_OF_DEVICES = /^\/(?:dev\/(?!shm\/)|proc\/)/

async function writeTo(file: string, data: FileData): Promise<void> {
  await fs.writeFile(file, data).catch((cause: Error) => {
    throw new KeylimeError('file_failed', `cannot write ${file}: ${cause.message}`, { cause })
  })
}

/** The same with the mode that the file has had. @param mode of a new one. */
export async function replaceFileAtomic(file: string, data: string | Uint8Array, mode: number): Promise<void> {
  const before = await fs.stat(file).catch(() => undefined)
  await writeFileAtomic(file, data, before ? before.mode & 0o777 : mode)
}

async function keepOwner(handle: fs.FileHandle, file: string): Promise<void> {
  if (process.geteuid?.() !== 0) return
  const before = await fs.lstat(file).catch(() => undefined)
  if (!before?.isFile()) return giveToOwner(handle, path.dirname(file))
  if (before.uid !== 0 || before.gid !== 0) await handle.chown(before.uid, before.gid)
}

/**
 * Makes a directory and those above it, with the owner of the one above when root makes it. Step by step: `recursive` of Node never
 * ends where no directory can be made, as below /proc. @param made gets those that were not there, the innermost last. @throws what the system says.
 */
export async function makeDirectory(directory: string, mode: number, made: string[] = []): Promise<void> {
  const above = path.dirname(path.resolve(directory))
  const isThere = (place: string) =>
    fs.stat(place).then(
      (found) => found.isDirectory(),
      () => false,
    )
  if (await isThere(directory)) return
  if (above !== path.resolve(directory) && !(await isThere(above))) await makeDirectory(above, mode, made)
  try {
    await fs.mkdir(directory, { mode })
    made.push(directory)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST' || !(await isThere(directory))) throw error // somebody else just made it
  }
  if (process.geteuid?.() === 0) await giveDirectory(directory, above)
}

/** Not by its name: who owns the one above may have put a link to another directory in its place. */
async function giveDirectory(directory: string, above: string): Promise<void> {
  const handle = await fs.open(directory, constants.O_RDONLY | constants.O_DIRECTORY | constants.O_NOFOLLOW)
  try {
    await giveToOwner(handle, above)
  } finally {
    await handle.close()
  }
}

/** A file that root made in a directory of another user, such as a service, becomes that user's; for all others nothing changes. */
export async function giveToOwner(handle: fs.FileHandle, directory: string): Promise<void> {
  if (process.geteuid?.() !== 0) return
  const { uid, gid } = await fs.stat(directory)
  if (uid !== 0) await handle.chown(uid, gid)
}

const LEFTOVER = /^\..+\.[0-9a-f]{12}\.tmp$/

/**
 * Removes what writers that were killed left in a directory: private keys may be in it. For who holds the lock that keeps other writers out. Never throws: where it
 * cannot be removed now, the next one does.
 */
export async function removeLeftovers(directory: string): Promise<void> {
  const names = await fs.readdir(directory).catch(() => [])
  for (const name of names) if (LEFTOVER.test(name)) await fs.rm(path.join(directory, name), { force: true }).catch(() => undefined)
}

async function syncDirectory(directory: string): Promise<void> {
  const handle = await fs.open(directory, 'r')
  try {
    await handle.sync()
  } finally {
    await handle.close()
  }
}
