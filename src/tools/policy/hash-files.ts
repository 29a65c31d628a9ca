import { createHash } from 'node:crypto'
import { createReadStream } from 'node:fs'
import fs from 'node:fs/promises'
import path from 'node:path'
import { pipeline } from 'node:stream/promises'

/** Top-level folders without programs of the machine's own, or whose files change all the time. */
const SKIPPED = ['dev', 'lost+found', 'media', 'mnt', 'proc', 'run', 'snap', 'sys', 'tmp', 'var']
const AT_ONCE = 16

export interface HashedFiles {
  digests: Map<string, string>
  /** Files that could not be read, as they are on this machine. */
  unreadable: string[]
}

/**
 * Digests of the regular files below `root`, by their path as the kernel of that system sees it; blanks become `_`, as in the kernel's log. Links are not
 * followed, other file systems are. @param progress told after each 1000 files.
 */
export async function hashFiles(root: string, algorithm: string, progress: (count: number) => void): Promise<HashedFiles> {
  const result: HashedFiles = { digests: new Map(), unreadable: [] }
  const files = listFiles(root, '/', result.unreadable)
  let count = 0
  const worker = async () => {
    for await (const file of { [Symbol.asyncIterator]: () => ({ next: () => files.next() }) }) {
      const hash = createHash(algorithm)
      try {
        await pipeline(createReadStream(path.join(root, file)), hash)
        result.digests.set(file.replaceAll(' ', '_'), hash.digest('hex'))
      } catch {
        result.unreadable.push(path.join(root, file))
      }
      if (++count % 1000 === 0) progress(count)
    }
  }
  await Promise.all(Array.from({ length: AT_ONCE }, worker))
  return result
}

async function* listFiles(root: string, directory: string, unreadable: string[]): AsyncGenerator<string> {
  let entries: Awaited<ReturnType<typeof readDirectory>>
  try {
    entries = await readDirectory(path.join(root, directory))
  } catch {
    unreadable.push(path.join(root, directory))
    return
  }
  for (const entry of entries) {
    const file = path.posix.join(directory, entry.name)
    if (entry.isFile()) yield file
    else if (entry.isDirectory() && !(directory === '/' && SKIPPED.includes(entry.name))) yield* listFiles(root, file, unreadable)
  }
}

const readDirectory = (directory: string) => fs.readdir(directory, { withFileTypes: true })
