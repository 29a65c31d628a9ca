import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import sea from 'node:sea'
import { KeylimeError } from '../../core/errors.ts'
import { namelessFile, roomyDirectories } from './nameless-file.ts'

/** Descriptors of the addons that this process has loaded from its assets. */
const opened = new Map<AddonName, number>()

/** For a worker thread, which takes the addons of the main thread: a copy of its own would cost memory, and two copies of SQLite break each other's locks. */
export const openAddons = (): ReadonlyMap<AddonName, number> => opened

/** In a worker thread, before any addon is loaded. @param addons `openAddons` of the main thread. */
export function adoptAddons(addons: ReadonlyMap<AddonName, number>): void {
  for (const [name, fd] of addons) opened.set(name, fd)
}

export type AddonName = 'keylime_native.node' | 'better_sqlite3.node' | 'zeromq.node'

/** The one that makes files in memory for the others; its own was made before Node began (native/entry.c). */
const FIRST = 'keylime_native.node'
const MADE_BY_ENTRY = '/memfd:keylime native (deleted)'

/** A place for an asset: a new file that is open and has no name. */
type Place = readonly [where: string, open: () => number]

/**
 * Loads a native addon: from `dist/` during development, from the executable's assets when packaged.
 *
 * dlopen needs a file, so the asset is written to one in memory (memfd_create(2)) and opened through /proc/self/fd. It needs no directory that is writable, and
 * there is no path that another user could plant, swap or link. Where the kernel gives no executable memory (`vm.memfd_noexec=2`), it is a nameless file in a
 * directory. The descriptors stay open for ever: glibc finds loaded objects by path, and a reused number would give the wrong addon.
 * @throws KeylimeError `file_failed` that lists every place tried and why it did not do.
 */
export function loadAddon<T>(name: AddonName): T {
  if (!sea.isSea()) return dlopen(path.resolve(import.meta.dirname, '../../../dist', name)) as T
  const known = opened.get(name)
  if (known !== undefined) return dlopen(`/proc/self/fd/${known}`) as T
  const bytes = new Uint8Array(sea.getRawAsset(name) as ArrayBuffer)
  const failures: string[] = []
  const inDirectories = roomyDirectories(process.env).map((dir): Place => [dir, () => namelessFile(dir)])
  for (const [where, open] of [['memory', () => memoryFile(name)] as Place, ...inDirectories]) {
    let fd = -1
    try {
      fd = open()
      for (let at = 0; at < bytes.length; ) at += fs.writeSync(fd, bytes, at, bytes.length - at, at)
      const loaded = dlopen(`/proc/self/fd/${fd}`) as T
      opened.set(name, fd)
      return loaded
    } catch (error) {
      if (fd >= 0) fs.closeSync(fd)
      failures.push(`${where}: ${(error as Error).message}`)
    }
  }
  throw new KeylimeError('file_failed', `cannot load ${name}: ${failures.join('; ')}`, {
    hint: 'allow executable files in memory (`sysctl vm.memfd_noexec=0`), or give the service one directory that is writable and not mounted noexec, for example RuntimeDirectory= in its unit',
  })
}

function memoryFile(name: AddonName): number {
  return name === FIRST ? madeByEntry() : loadAddon<{ memoryFile(name: string): number }>(FIRST).memoryFile(`keylime ${name}`)
}

/** @throws Error where the kernel gave none. */
function madeByEntry(): number {
  const fd = fs.readdirSync('/proc/self/fd').find((fd) => Number(fd) > 2 && linkOf(`/proc/self/fd/${fd}`) === MADE_BY_ENTRY)
  if (fd === undefined) throw new Error('the kernel gave no file in memory')
  return Number(fd)
}

/** Descriptors come and go while they are looked at: the one of the directory itself. */
function linkOf(file: string): string {
  try {
    return fs.readlinkSync(file)
  } catch {
    return ''
  }
}

function dlopen(file: string): unknown {
  const module = { exports: {} }
  process.dlopen(module, file, os.constants.dlopen.RTLD_NOW) // an explicit undefined is refused
  return module.exports
}
