import { type SpawnSyncOptionsWithStringEncoding, spawnSync } from 'node:child_process'
import fs from 'node:fs'
import path from 'node:path'

export const root = path.resolve(import.meta.dirname, '../..')
/** Program or file, and the package of Debian that has it. */
const NEEDED = {
  mmdebstrap: 'mmdebstrap',
  lintian: 'lintian',
  rpmbuild: 'rpm',
  rpm2cpio: 'rpm2cpio',
  cpio: 'cpio',
  'dpkg-deb': 'dpkg',
  xz: 'xz-utils',
}

export interface Ran {
  readonly status: number | null
  readonly text: string
}

/** A directory for a run, and programs in it. */
export class Place {
  readonly directory: string

  constructor(directory: string) {
    this.directory = directory
  }

  at(...names: string[]): string {
    return path.join(this.directory, ...names)
  }

  /** What comes out of a program, both streams together, whatever its status. */
  ask(file: string, args: readonly string[], options: Partial<SpawnSyncOptionsWithStringEncoding> = {}): Ran {
    const { status, stdout, stderr, error } = spawnSync(file, args, { encoding: 'utf8', maxBuffer: 1 << 28, ...options })
    return { status, text: `${stdout ?? ''}${stderr ?? ''}${error?.message ?? ''}` }
  }

  /** The same of one that must succeed. */
  run(file: string, args: readonly string[], options: Partial<SpawnSyncOptionsWithStringEncoding> = {}): string {
    const { status, text } = this.ask(file, args, options)
    if (status !== 0) throw new Error(`${file} ${args.join(' ')}: status ${status}\n${text.slice(-3000)}`)
    return text
  }

  /** `npm run package` into a directory of this place. */
  package(out: string, ...args: string[]): string {
    this.run('npm', ['run', '--silent', 'package', '--', '--out', this.at(out), ...args], { cwd: root })
    return this.at(out)
  }

  install(): void {
    if (process.getuid?.() !== 0) throw new Error('these tests make a Debian and need root')
    const missing = Object.entries(NEEDED).filter(([program]) => this.ask('sh', ['-c', `command -v ${program}`]).status !== 0)
    if (missing.length === 0) return
    const names = missing.map(([, name]) => name)
    process.stdout.write(`installing ${names.join(', ')}\n`)
    this.run('apt-get', ['-o', 'DPkg::Lock::Timeout=120', 'install', '-y', '-qq', '--no-install-recommends', ...names], {
      env: { ...process.env, DEBIAN_FRONTEND: 'noninteractive' },
    })
  }

  remove(): void {
    fs.rmSync(this.directory, { recursive: true, force: true })
  }
}

/** @throws Error that says both. */
export function equal(found: unknown, expected: unknown, what = ''): void {
  const [left, right] = [JSON.stringify(found), JSON.stringify(expected)]
  if (left !== right) throw new Error(`${what} is ${left}, not ${right}`)
}

export function contains(text: string, part: string | RegExp): void {
  if (typeof part === 'string' ? !text.includes(part) : !part.test(text)) throw new Error(`there is no ${part} in:\n${text.slice(-3000)}`)
}
