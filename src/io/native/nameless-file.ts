import { randomBytes } from 'node:crypto'
import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'

const { O_RDWR, O_CREAT, O_EXCL, O_NOFOLLOW, O_DIRECTORY } = fs.constants
const O_TMPFILE = 0o20000000 | O_DIRECTORY // not in fs.constants

/** Where a file may be made and mapped, perhaps. tmpfs first: IMA's default policy does not measure it. On a noexec mount dlopen fails, and the next one is tried. */
export function roomyDirectories(env: NodeJS.ProcessEnv): string[] {
  const dirs = [env['XDG_RUNTIME_DIR'], '/dev/shm', '/run', os.tmpdir(), '/tmp', '/var/tmp']
  return [...new Set(dirs.filter((dir) => dir !== undefined && path.isAbsolute(dir)) as string[])]
}

/** An open file that no path leads to, of mode 0500: nothing is left behind, and what somebody planted under whatever name is not touched. */
export function namelessFile(dir: string): number {
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
