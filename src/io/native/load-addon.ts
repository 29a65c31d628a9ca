import { randomBytes } from 'node:crypto'
import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import sea from 'node:sea'
import { KeylimeError } from '../../core/errors.ts'

const { O_RDWR, O_CREAT, O_EXCL, O_NOFOLLOW, O_DIRECTORY } = fs.constants
const O_TMPFILE = 0o20000000 | O_DIRECTORY // not in fs.constants

/** Descriptors of the addons that this process has loaded from its assets. */
const opened = new Map<AddonName, number>()

/** For a worker thread, which takes the addons of the main thread: a copy of its own would cost memory, and two copies of SQLite break each other's locks. */
export const openAddons = (): ReadonlyMap<AddonName, number> => opened

/** In a worker thread, before any addon is loaded. @param addons `openAddons` of the main thread. */
export function adoptAddons(addons: ReadonlyMap<AddonName, number>): void {
  for (const [name, fd] of addons) opened.set(name, fd)
}

export type AddonName = 'keylime_native.node' | 'better_sqlite3.node' | 'zeromq.node'

/**
 * Loads a native addon: from `dist/` during development, from the executable's assets when packaged.
 *
 * dlopen needs a file, so the asset is written to an inode without a name and opened through /proc/self/fd. Nothing is left behind, and there is
 * no path that another user could plant, swap or link. The descriptors stay open for ever: glibc finds loaded objects by path, and a reused
 * number would give the wrong addon.
 * @throws KeylimeError `file_failed` that lists every directory tried and why it did not do.
 */
export function loadAddon<T>(name: AddonName): T {
  if (!sea.isSea()) return dlopen(path.resolve(import.meta.dirname, '../../../dist', name)) as T
  const known = opened.get(name)
  if (known !== undefined) return dlopen(`/proc/self/fd/${known}`) as T
  const bytes = new Uint8Array(sea.getRawAsset(name) as ArrayBuffer)
  const failures: string[] = []
  for (const dir of candidateDirs()) {
    let fd = -1
    try {
      fd = anonymousFile(dir)
      for (let at = 0; at < bytes.length; ) at += fs.writeSync(fd, bytes, at, bytes.length - at, at)
      const loaded = dlopen(`/proc/self/fd/${fd}`) as T
      opened.set(name, fd)
      return loaded
    } catch (error) {
      if (fd >= 0) fs.closeSync(fd)
      failures.push(`${dir}: ${(error as Error).message}`)
    }
  }
  throw new KeylimeError('file_failed', `cannot load ${name}: ${failures.join('; ')}`, {
    hint: 'give the service one directory that is writable and not mounted noexec, for example RuntimeDirectory= in its unit',
  })
}

/** tmpfs first: IMA's default policy does not measure it. On a noexec mount dlopen fails, and the next one is tried. */
function candidateDirs(): Set<string> {
  const dirs = [process.env['XDG_RUNTIME_DIR'], '/dev/shm', '/run', os.tmpdir(), '/tmp', '/var/tmp']
  return new Set(dirs.filter((dir) => dir !== undefined && path.isAbsolute(dir)) as string[])
}

function anonymousFile(dir: string): number {
  try {
    return fs.openSync(dir, O_TMPFILE | O_RDWR | O_EXCL, 0o500)
  } catch (error) {
    if (!['EOPNOTSUPP', 'EISDIR', 'EINVAL'].includes((error as NodeJS.ErrnoException).code ?? '')) throw error
  }
  const name = path.join(dir, `.keylime-${randomBytes(12).toString('hex')}`)
  const fd = fs.openSync(name, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW, 0o500)
  fs.unlinkSync(name)
  return fd
}

function dlopen(file: string): unknown {
  const module = { exports: {} }
  process.dlopen(module, file, os.constants.dlopen.RTLD_NOW) // an explicit undefined is refused
  return module.exports
}
