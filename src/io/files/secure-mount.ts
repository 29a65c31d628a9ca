import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { KeylimeError } from '../../core/errors.ts'
import type { Logger } from '../log/logger.ts'
import { nativeAddon } from '../native/native-addon.ts'
import { type MountEntry, mountAt } from './mount-info.ts'

export interface SecureMountOptions {
  /** `<keylime_dir>/secure`, absolute. */
  directory: string
  /** tmpfs size as mount(8) takes it: `1m`, `64k`, `10%`. */
  size: string
  /** Who will use it: the process' own user after it dropped its privileges. */
  owner: { uid: number; gid: number }
  /** 0700 when nothing is said. 0711: others reach what they know the name of, and what in there lets them. */
  mode?: 0o700 | 0o711
  logger: Logger
}

export interface SecureMount {
  directory: string
  /** True when it was not there and was mounted by us. */
  mountedByUs: boolean
  /** Looks again, on a fresh descriptor: throws `secure_mount_refused` when the mount is no longer what it was. */
  check(): void
  unmount(): void
}

const TMPFS_MAGIC = 0x01021994
const SIZE = /^\d{1,15}[kmgKMG%]?$/
const { O_RDONLY, O_DIRECTORY, O_NOFOLLOW } = fs.constants

/**
 * The only place for plaintext secrets: a tmpfs at `directory`, mounted when there is none and we are root, and checked on the open descriptor: a tmpfs,
 * ours, of its mode, whole, nosuid and nodev, and the mount that mountinfo shows at this path. A look-alike is refused.
 * @throws KeylimeError `secure_mount_refused` saying what is wrong and how to mend it.
 */
export function openSecureMount(options: SecureMountOptions): SecureMount {
  const { directory, logger } = options
  if (!SIZE.test(options.size)) throw refused(`secure_size "${options.size}" is not a size such as 1m`, 'use digits and k, m, g or %')
  makeDirectory(directory)
  const before = mountAt(fs.realpathSync(directory))
  if (!before) mount(options)
  else if (before.type === 'tmpfs') adopt(options)
  inspect(options)
  for (const text of weaknesses(mountAt(fs.realpathSync(directory))!)) logger.warn(`the tmpfs for secrets ${text}`, { directory })
  logger.info(before ? 'using the tmpfs for secrets that is mounted' : 'mounted the tmpfs for secrets', { directory, size: options.size })
  return {
    directory,
    mountedByUs: !before,
    check: () => inspect(options),
    unmount: () => unmount(directory, logger),
  }
}

function makeDirectory(directory: string): void {
  try {
    fs.mkdirSync(directory, { mode: 0o700 })
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code
    if (code === 'EEXIST') return
    if (code === 'ENOENT') throw refused(`${path.dirname(directory)} does not exist`, 'create keylime_dir, or correct the option')
    throw refused(`cannot create ${directory}: ${(error as Error).message}`, undefined, error)
  }
}

/** As mount(8) and people write it. */
const modeText = ({ mode = 0o700 }: Pick<SecureMountOptions, 'mode'>): string => `0${mode.toString(8)}`

function mount(options: SecureMountOptions): void {
  const { directory, size, owner } = options
  const mode = modeText(options)
  const command = `mount -t tmpfs -o size=${size},mode=${mode},nosuid,nodev,uid=${owner.uid},gid=${owner.gid} tmpfs ${directory}`
  if (process.geteuid?.() !== 0)
    throw refused(`no tmpfs is mounted at ${directory}, and only root can mount one`, `run once as root: ${command}`)
  const fd = openDirectory(directory)
  try {
    mountTmpfs(fd, `size=${size},mode=${mode},uid=${owner.uid},gid=${owner.gid}`)
  } catch (cause) {
    throw refused(`cannot mount a tmpfs at ${directory}`, 'in a container, give it CAP_SYS_ADMIN or mount the tmpfs from outside', cause)
  } finally {
    fs.closeSync(fd)
  }
}

/** On the descriptor, so that nobody can put a link in the path's place. Without swap where the kernel can (Linux 6.4): swap is a disk. */
function mountTmpfs(fd: number, options: string): void {
  const target = `/proc/self/fd/${fd}`
  try {
    nativeAddon().mountTmpfs(target, `${options},noswap`)
  } catch (error) {
    if ((error as { errno?: number }).errno !== os.constants.errno.EINVAL) throw error
    nativeAddon().mountTmpfs(target, options)
  }
}

/** One that an earlier run of root's mounted may belong to root still: it is given to the user that we will be. */
function adopt({ directory, owner }: SecureMountOptions): void {
  if (process.geteuid?.() !== 0) return
  const fd = openDirectory(directory)
  try {
    const stat = fs.fstatSync(fd)
    if (stat.uid === 0 && owner.uid !== 0 && isTmpfs(fd)) fs.fchownSync(fd, owner.uid, owner.gid)
  } finally {
    fs.closeSync(fd)
  }
}

function inspect(options: SecureMountOptions): void {
  const { directory } = options
  const fd = openDirectory(directory)
  try {
    const entry = mountAt(fs.realpathSync(directory))
    const defect = entry ? defectOf(fd, entry, options) : 'it is not a mount point'
    if (defect) throw refused(`${directory} is not a safe place for secrets: ${defect}`, hintFor(directory, modeText(options)))
  } finally {
    fs.closeSync(fd)
  }
}

/** What is wrong with the open directory, or undefined. */
function defectOf(fd: number, entry: MountEntry, { owner, mode = 0o700 }: SecureMountOptions): string | undefined {
  const stat = fs.fstatSync(fd)
  const device = deviceNumber(fs.fstatSync(fd, { bigint: true }).dev)
  if (entry.type !== 'tmpfs') return `a ${entry.type} is mounted there, not a tmpfs (secrets would reach a disk)`
  if (!isTmpfs(fd)) return 'the open directory is not on a tmpfs'
  if (entry.device !== device) return `the open directory is on device ${device}, the mount on ${entry.device}`
  if (entry.root !== '/') return `it is a bind mount of ${entry.root} of another tmpfs`
  if (stat.uid !== owner.uid) return `it belongs to uid ${stat.uid}, not to uid ${owner.uid}`
  if ((stat.mode & 0o7777) !== mode) return `its mode is 0${(stat.mode & 0o7777).toString(8)}, not ${modeText({ mode })}`
  if (entry.options.includes('ro')) return 'it is mounted read-only'
  return undefined
}

/** Of a mount that others made: not good, but no danger to the secrets. */
function weaknesses({ options }: MountEntry): string[] {
  const missing = ['nosuid', 'nodev'].filter((name) => !options.includes(name))
  const noexec = options.includes('noexec') ? ['is mounted noexec: the script of a payload cannot start itself there'] : []
  return [...(missing.length > 0 ? [`is mounted without ${missing.join(' and ')}`] : []), ...noexec]
}

/** A dev_t as mountinfo writes it (makedev(3) of glibc). */
function deviceNumber(dev: bigint): string {
  const major = ((dev >> 8n) & 0xfffn) | ((dev >> 32n) & 0xfffff000n)
  const minor = (dev & 0xffn) | ((dev >> 12n) & 0xffffff00n)
  return `${major}:${minor}`
}

const isTmpfs = (fd: number): boolean => fs.statfsSync(`/proc/self/fd/${fd}`).type === TMPFS_MAGIC

function openDirectory(directory: string): number {
  try {
    return fs.openSync(directory, O_RDONLY | O_DIRECTORY | O_NOFOLLOW)
  } catch (cause) {
    const code = (cause as NodeJS.ErrnoException).code
    if (code === 'ELOOP' || code === 'ENOTDIR')
      throw refused(`${directory} is a link or a file, not a directory`, hintFor(directory), cause)
    throw refused(`cannot open ${directory}: ${(cause as Error).message}`, undefined, cause)
  }
}

function unmount(directory: string, logger: Logger): void {
  try {
    nativeAddon().unmount(directory)
    logger.info('unmounted the tmpfs for secrets', { directory })
  } catch (error) {
    logger.warn('cannot unmount the tmpfs for secrets', { directory, reason: (error as Error).message })
  }
}

const hintFor = (directory: string, mode = modeText({})) =>
  `unmount or move away what is at ${directory} and start the agent as root: it mounts its own tmpfs (mode ${mode}) there`

function refused(message: string, hint?: string, cause?: unknown): KeylimeError {
  return new KeylimeError('secure_mount_refused', message, { ...(hint ? { hint } : {}), ...(cause === undefined ? {} : { cause }) })
}
