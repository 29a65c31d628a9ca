import { execFileSync } from 'node:child_process'
import fs from 'node:fs'
import path from 'node:path'

/** What is packed, and for whom. */
export interface Release {
  readonly version: string
  /** Seconds since 1970 of the commit: every date in a package. */
  readonly epoch: number
  readonly arch: 'x64' | 'arm64'
  /** The built executable. */
  readonly executable: string
  /** What runs it here, and where the libraries of its machine are; nothing and `''` for this machine. */
  readonly runner: readonly string[]
  readonly sysroot: string
  /** The checkout. */
  readonly root: string
  /** Names beside `keylime` that it answers to. */
  readonly links: readonly string[]
}

export const DEBIAN_ARCH = { x64: 'amd64', arm64: 'arm64' } as const
export const RPM_ARCH = { x64: 'x86_64', arm64: 'aarch64' } as const

/** Runs a program with nothing of this machine that would get into what it makes: neither language, time zone nor date. */
export function run(release: Pick<Release, 'epoch'>, file: string, args: readonly string[], cwd?: string): string {
  const env = { PATH: process.env['PATH'], HOME: '/dev/null', LC_ALL: 'C.UTF-8', TZ: 'UTC', SOURCE_DATE_EPOCH: String(release.epoch) }
  return execFileSync(file, args, {
    env,
    encoding: 'utf8',
    maxBuffer: 1 << 28,
    stdio: ['ignore', 'pipe', 'inherit'],
    ...(cwd ? { cwd } : {}),
  })
}

/** What the executable says. */
export function ask(release: Release, ...args: string[]): string {
  const [program, ...before] = [...release.runner, release.executable]
  return run(release, program!, [...before, ...args])
}

/** Writes a file, with its directories, of a mode that no umask changes. */
export function put(file: string, content: string | Uint8Array, mode = 0o644): void {
  makeDirectory(path.dirname(file))
  fs.writeFileSync(file, content)
  fs.chmodSync(file, mode)
}

export function makeDirectory(directory: string): void {
  const first = fs.mkdirSync(directory, { recursive: true })
  for (let at = directory; first && at.length >= first.length; at = path.dirname(at)) fs.chmodSync(at, 0o755)
}

/** Files, links and directories below a directory, sorted, relative to it. */
export const filesBelow = (directory: string): string[] =>
  fs
    .readdirSync(directory, { recursive: true, withFileTypes: true })
    .filter((entry) => !entry.isDirectory())
    .map((entry) => path.relative(directory, path.join(entry.parentPath, entry.name)))
    .toSorted()

/** An archive that depends on nothing but the files: names sorted, owners root, dates not younger than the release. */
export const TAR = ['--sort=name', '--owner=0', '--group=0', '--numeric-owner', '--format=gnu'] as const
