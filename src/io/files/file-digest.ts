import { createHash, getHashes } from 'node:crypto'
import { constants } from 'node:fs'
import fs from 'node:fs/promises'

const MAX_BYTES = 1 << 30
/** Where reading may wait for ever, or has effects. */
const NO_FILES = /^\/(?:dev(?!\/shm\/)|proc|sys)\//

/** Hex digest of a regular file of this machine; null when it is none, is not there, cannot be read or is very large. Never throws. */
export async function fileDigest(path: string, algorithm: string): Promise<string | null> {
  if (NO_FILES.test(path) || !getHashes().includes(algorithm)) return null
  const handle = await fs.open(path, constants.O_RDONLY | constants.O_NONBLOCK).catch(() => null)
  if (!handle) return null
  try {
    const { size, isFile } = await handle.stat().then((stat) => ({ size: stat.size, isFile: stat.isFile() }))
    if (!isFile || size > MAX_BYTES) return null
    const hash = createHash(algorithm)
    for await (const piece of handle.createReadStream({ autoClose: false, end: Math.max(size - 1, 0) })) hash.update(piece as Buffer)
    return hash.digest('hex')
  } catch {
    return null
  } finally {
    await handle.close()
  }
}
