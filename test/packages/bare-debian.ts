import fs from 'node:fs'
import path from 'node:path'
import type { Place, Ran } from './place.ts'

/** A Debian that has nothing else. */
export interface BareDebian {
  readonly directory: string
  /** A program in it, whatever its status. */
  inside(...args: string[]): Ran
  /** A script in it that must succeed. @returns what it prints. */
  sh(script: string): string
  /** Puts a directory of packages into it, as /packages/NAME. */
  give(directory: string, name: string): void
}

/** @param include packages of Debian that are wanted in it. */
export function bareDebian(place: Place, name: string, include: readonly string[]): BareDebian {
  const directory = place.at(name)
  const sources = place.run('sh', ['-c', 'ls /etc/apt/sources.list.d/*.sources /etc/apt/sources.list 2> /dev/null | head -n 1']).trim()
  const options = ['--quiet', '--mode=root', '--variant=essential', `--include=${include.join(',')}`]
  place.run('mmdebstrap', [...options, 'bookworm', directory, sources])
  const enter = 'mount -t proc proc "$0/proc" && exec chroot "$0" "$@"'
  const env = { PATH: '/usr/sbin:/usr/bin:/sbin:/bin', LC_ALL: 'C' }
  const inside = (...args: string[]) => place.ask('unshare', ['--mount', '--pid', '--fork', 'sh', '-c', enter, directory, ...args], { env })
  return {
    directory,
    inside,
    sh(script) {
      const { status, text } = inside('sh', '-ec', script)
      if (status !== 0) throw new Error(`${script}: status ${status}\n${text}`)
      return text.trimEnd()
    },
    give(packages, as) {
      fs.cpSync(packages, path.join(directory, 'packages', as), { recursive: true })
    },
  }
}
