import { createHash } from 'node:crypto'
import fs from 'node:fs'
import fsp from 'node:fs/promises'
import path from 'node:path'
import { pipeline } from 'node:stream/promises'
import { loggedName } from '../../core/ima/collect-digests.ts'
import { parseMountInfo } from '../../io/files/mount-info.ts'

/** Top-level folders without programs of the machine's own, or whose files change all the time. */
const SKIPPED = ['/dev', '/lost+found', '/media', '/mnt', '/proc', '/run', '/snap', '/sys', '/tmp', '/var']
const AT_ONCE = 16

export interface HashOptions {
  algorithm: string
  /** Directories below the root, beginning with `/`, that are left out besides the usual ones. */
  skipped: readonly string[]
  /** Only files of user 0. */
  rootOwned: boolean
  progress(note: string): void
}

export interface HashedFiles {
  digests: Map<string, string>
  /** Files that could not be read, as they are on this machine. */
  unreadable: string[]
}

/**
 * Digests of the regular files below `root`, by their path as the kernel of that system sees it; blanks become `_`, as in the kernel's log. Links are not
 * followed; mounts of another type of file system than that of the root are left out.
 */
export async function hashFiles(root: string, options: HashOptions): Promise<HashedFiles> {
  const result: HashedFiles = { digests: new Map(), unreadable: [] }
  const files = listFiles(root, { ...options, unreadable: result.unreadable })
  let count = 0
  const worker = async () => {
    for await (const file of { [Symbol.asyncIterator]: () => ({ next: () => files.next() }) }) {
      try {
        result.digests.set(loggedName(file), await hashFile(path.join(root, file), options.algorithm))
      } catch {
        result.unreadable.push(path.join(root, file))
      }
      if (++count % 100 === 0) options.progress(`${count} files: ${file}`)
    }
  }
  await Promise.all(Array.from({ length: AT_ONCE }, worker))
  return result
}

/** @throws Error of the file system. */
export async function hashFile(file: string, algorithm: string): Promise<string> {
  const hash = createHash(algorithm)
  await pipeline(fs.createReadStream(file), hash)
  return hash.digest('hex')
}

/** Regular files below `root` as paths that begin with `/`. */
export async function* listFiles(
  root: string,
  { skipped, rootOwned, unreadable }: Pick<HashOptions, 'skipped' | 'rootOwned'> & Pick<HashedFiles, 'unreadable'>,
): AsyncGenerator<string> {
  const left = new Set([...SKIPPED, ...skipped, ...foreignMounts(root)])
  const directories = ['/']
  for (let directory = directories.pop(); directory !== undefined; directory = directories.pop()) {
    const entries = await fsp.readdir(path.join(root, directory), { withFileTypes: true }).catch(() => null)
    if (!entries) unreadable.push(path.join(root, directory))
    for (const entry of entries ?? []) {
      const file = path.posix.join(directory, entry.name)
      if (entry.isDirectory() && !left.has(file)) directories.push(file)
      if (entry.isFile() && (!rootOwned || (await ownerOf(path.join(root, file))) === 0)) yield file
    }
  }
}

const ownerOf = async (file: string) => (await fsp.lstat(file).catch(() => null))?.uid

/** Mount points below the root whose file system is of another type than the root's, as paths below it. */
function foreignMounts(root: string): string[] {
  const mounts = parseMountInfo(fs.readFileSync('/proc/self/mountinfo', 'utf8'))
  const below = (file: string, directory: string) => directory === '/' || file === directory || file.startsWith(`${directory}/`)
  const own = mounts
    .filter(({ mountPoint }) => below(root, mountPoint))
    .sort((a, b) => a.mountPoint.length - b.mountPoint.length)
    .at(-1)
  return mounts
    .filter(({ mountPoint, type }) => type !== own?.type && mountPoint !== root && below(mountPoint, root))
    .map(({ mountPoint }) => `/${path.relative(root, mountPoint)}`)
}
