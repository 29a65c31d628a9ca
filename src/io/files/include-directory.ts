import fs from 'node:fs/promises'
import path from 'node:path'
import { KeylimeError } from '../../core/errors.ts'
import type { PackageEntry } from '../../core/payload/certificate-package.ts'
import { readFile, unreadable } from './read-file.ts'

const MAX_FILES = 10_000

/**
 * All files below several directories, as if they were one: sub-directories included, sorted by name. @throws KeylimeError `archive_refused` for links, devices
 * and the like, and for a name that two directories have; `payload_too_large` as soon as the files are together larger than `maxBytes`; `not_found` when there
 * is no such directory.
 */
export async function readIncludeDirectories(directories: readonly string[], maxBytes: number): Promise<PackageEntry[]> {
  const state = { entries: [] as PackageEntry[], bytes: 0, maxBytes }
  const from = new Map<string, string>()
  for (const directory of directories) {
    const before = state.entries.length
    await collect(directory, '', state)
    for (const { name } of state.entries.slice(before)) {
      const other = from.get(name)
      if (other !== undefined)
        throw new KeylimeError('archive_refused', `${name} is in ${other} and in ${directory}`, {
          hint: 'a payload has only one file with a name: leave one of them out',
        })
      from.set(name, directory)
    }
  }
  return state.entries.sort((a, b) => (a.name < b.name ? -1 : 1))
}

async function collect(
  directory: string,
  prefix: string,
  state: { entries: PackageEntry[]; bytes: number; maxBytes: number },
): Promise<void> {
  for (const entry of await list(directory)) {
    const file = path.join(directory, entry.name)
    const name = prefix + entry.name
    if (entry.isDirectory()) await collect(file, `${name}/`, state)
    else if (entry.isFile()) {
      const stat = await fs.stat(file)
      state.bytes += stat.size
      if (state.bytes > state.maxBytes || state.entries.length >= MAX_FILES) throw tooLarge(directory, state.maxBytes)
      state.entries.push({ name, data: await readFile(file), executable: (stat.mode & 0o111) !== 0 })
    } else {
      throw new KeylimeError('archive_refused', `${file} is ${kindOf(entry)}: only files and directories can be delivered`, {
        hint: entry.isSymbolicLink() ? 'put the file itself there, or make the link in autorun.sh' : 'remove it from the directory',
      })
    }
  }
}

async function list(directory: string) {
  return fs.readdir(directory, { withFileTypes: true }).catch((cause) => {
    throw unreadable(directory, cause, { what: 'the directory' })
  })
}

function tooLarge(directory: string, maxBytes: number): KeylimeError {
  return new KeylimeError('payload_too_large', `the files in ${directory} are together larger than ${maxBytes} bytes`, {
    hint: 'raise max_payload_size in tenant.conf, and secure_size in the agents’ agent.conf',
  })
}

function kindOf(entry: { isSymbolicLink(): boolean; isFIFO(): boolean; isSocket(): boolean }): string {
  if (entry.isSymbolicLink()) return 'a symbolic link'
  return entry.isFIFO() ? 'a pipe' : entry.isSocket() ? 'a socket' : 'a device'
}
