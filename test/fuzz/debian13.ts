import { execFileSync, spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, renameSync, rmSync } from 'node:fs'
import os from 'node:os'
import path from 'node:path'

export const PROJECT = path.resolve(import.meta.dirname, '../..')

/** Chroot, bundles, corpora and builds. Delete it to start afresh. */
export const CACHE =
  process.env['KEYLIME_FUZZ_CACHE'] ?? path.join(process.env['XDG_CACHE_HOME'] ?? path.join(os.homedir(), '.cache'), 'keylime-fuzz')

/** Where the fuzzer puts inputs of a target that fail. */
export function findingsPlace(target: string): string {
  const place = path.join(CACHE, 'findings', target)
  mkdirSync(place, { recursive: true })
  return place
}

const CHROOT = path.join(CACHE, 'debian13')
/** C++ library of jazzer's addon, and the interpreter that some readers are compared with. */
const PACKAGES = ['libstdc++6', 'python3-minimal', 'libpython3-stdlib']
const LOADS = ['-e', `require(${JSON.stringify(path.join(PROJECT, 'node_modules/@jazzer.js/fuzzer'))})`]

/**
 * How jazzer's addon is started, which needs glibc 2.38: as it is where that is there, otherwise in a Debian 13 that is made once. Project and cache are seen
 * there under their own paths, by mounts in a namespace of the process: nothing of them is left behind.
 * @throws Error that says what is missing.
 */
export function prepareJazzer(): (command: readonly string[]) => string[] {
  if (spawnSync(process.execPath, LOADS, { stdio: 'ignore' }).status === 0) return (command) => [...command]
  if (process.getuid?.() !== 0)
    throw new Error('jazzer needs glibc 2.38, and to make a Debian 13 for it needs root\nhint: run it as root, or on Debian 13')
  needPrograms({ mmdebstrap: 'mmdebstrap', unshare: 'util-linux', chroot: 'coreutils' })
  makeChroot()
  const inside = (command: readonly string[]) => [
    'unshare',
    '--mount',
    '--propagation',
    'private',
    'sh',
    '-ec',
    ENTER,
    CHROOT,
    PROJECT,
    CACHE,
    ...command,
  ]
  const [program, ...rest] = inside([process.execPath, ...LOADS])
  execFileSync(program!, rest, { stdio: ['ignore', 'ignore', 'inherit'] })
  return inside
}

/** $0 is the chroot, $1 the project, $2 the cache; then the command. */
const ENTER = `
for place in "$1" "$2" /proc /dev; do mkdir -p "$0$place"; mount --bind "$place" "$0$place"; done
root=$0 project=$1; shift 2
exec chroot "$root" sh -ec 'cd "$0"; exec "$@"' "$project" "$@"`

function makeChroot(): void {
  if (existsSync(CHROOT)) return
  console.log('fuzz: making a Debian 13 for jazzer, once')
  mkdirSync(CACHE, { recursive: true })
  const fresh = `${CHROOT}.new`
  rmSync(fresh, { recursive: true, force: true })
  execFileSync('mmdebstrap', ['--quiet', '--variant=minbase', `--include=${PACKAGES.join(',')}`, 'trixie', fresh], {
    stdio: ['ignore', 'ignore', 'inherit'],
  })
  renameSync(fresh, CHROOT)
}

/** Installs what is missing when we are root. @param programs Debian package by program, or by absolute path of a file. @throws Error that names them. */
export function needPrograms(programs: Readonly<Record<string, string>>): void {
  const places = `${process.env['PATH']}:/usr/sbin:/sbin`.split(':')
  const isThere = (name: string) => (name.startsWith('/') ? existsSync(name) : places.some((place) => existsSync(path.join(place, name))))
  const missing = Object.entries(programs).flatMap(([name, debian]) => (isThere(name) ? [] : [debian]))
  if (missing.length === 0) return
  if (process.getuid?.() !== 0) throw new Error(`not installed: ${missing.join(', ')}\nhint: apt-get install ${missing.join(' ')}`)
  console.log(`fuzz: installing ${missing.join(', ')}`)
  const environment = { ...process.env, DEBIAN_FRONTEND: 'noninteractive' }
  spawnSync('apt-get', ['-qq', 'update'], { stdio: 'ignore' })
  execFileSync('apt-get', ['-qq', '-y', '--no-install-recommends', 'install', ...missing], {
    stdio: ['ignore', 'ignore', 'inherit'],
    env: environment,
  })
}
