import path from 'node:path'
import { KeylimeError } from '../../../core/errors.ts'
import { addDigest } from '../../../core/ima/policy-document.ts'
import type { DigestSource } from '../digest-source.ts'
import { hashFiles } from '../hash-files.ts'

export interface FileTreeOptions {
  rootfs?: string | undefined
  /** Directories with commas between. */
  skipPath?: string | undefined
  /** Only files of user 0, as upstream. */
  rootOwned?: boolean | undefined
}

/** All files below a directory, such as `/` or the mounted image of a machine. */
export const fileTree: DigestSource<FileTreeOptions> = {
  flags: '--rootfs',
  isWanted: ({ rootfs }) => Boolean(rootfs),

  async collect({ rootfs, skipPath, rootOwned }, { parts, algorithm, tell, progress }) {
    const root = path.resolve(rootfs!)
    const skipped = (skipPath ?? '')
      .split(',')
      .filter(Boolean)
      .map((directory) => insideRoot(root, directory))
    const { digests, unreadable } = await hashFiles(root, { algorithm, skipped, rootOwned: rootOwned ?? false, progress })
    if (digests.size === 0) throw new KeylimeError('not_found', `there are no files that can be read below ${root}`)
    for (const [name, digest] of digests) addDigest(parts.digests, name, digest)
    if (unreadable.length > 0) tell(`${unreadable.length} files cannot be read and are left out, the first is ${unreadable[0]}`)
  },
}

/** `/mnt/image/opt` and `/opt` are the same directory of the image `/mnt/image`. */
function insideRoot(root: string, directory: string): string {
  const whole = path.resolve(directory)
  return whole === root || whole.startsWith(root === '/' ? '/' : `${root}/`)
    ? `/${path.relative(root, whole)}`
    : path.posix.join('/', directory)
}
