import path from 'node:path'
import { layOut, PACKAGES } from './contents.ts'
import { type Release, run, TAR } from './release.ts'

/** Everything in one archive, for a system with other packages: unpack it at `/`. @returns its file. */
export function archive(release: Release, { work, out }: { work: string; out: string }): string {
  const tree = path.join(work, 'archive')
  for (const name of PACKAGES) layOut(name, tree, release)
  const file = path.join(out, `keylime-${release.version}-linux-${release.arch}.tar.xz`)
  const date = `--mtime=@${release.epoch}`
  run(release, 'tar', [
    ...TAR,
    date,
    '--create',
    '--use-compress-program=xz -1 --threads=1',
    '--file',
    file,
    '--directory',
    tree,
    'etc',
    'usr',
  ])
  return file
}
