import fs from 'node:fs/promises'
import path from 'node:path'

const MAX_LINKS = 40

/**
 * Finds the path by which the kernel of the system at `root` sees a file: links in its directories followed inside the root (`/bin/sh` is `/usr/bin/sh` there),
 * the last name kept as it is.
 */
export function resolverBelow(root: string): (file: string) => Promise<string> {
  const known = new Map<string, Promise<string>>([['/', Promise.resolve('/')]])
  const directory = (name: string, links: number): Promise<string> => {
    const found = known.get(name)
    if (found) return found
    const resolved = follow(name, links)
    known.set(name, resolved)
    return resolved
  }
  const follow = async (name: string, links: number): Promise<string> => {
    const here = path.posix.join(await directory(path.posix.dirname(name), links), path.posix.basename(name))
    const target = links > 0 ? await fs.readlink(path.join(root, here)).catch(() => null) : null
    if (target === null) return here
    return directory(path.posix.resolve(path.posix.dirname(here), target), links - 1)
  }
  return async (file) => {
    const name = path.posix.normalize(file)
    return path.posix.join(await directory(path.posix.dirname(name), MAX_LINKS), path.posix.basename(name))
  }
}
