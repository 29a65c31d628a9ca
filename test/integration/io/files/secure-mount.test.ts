import { execFileSync } from 'node:child_process'
import fs from 'node:fs'
import path from 'node:path'
import { openSecureMount } from '../../../../src/io/files/secure-mount.ts'
import { silentLogger } from '../../../../src/io/log/logger.ts'

// Mounting needs root; CI runs these as root.
const asRoot = process.getuid?.() === 0 ? test : test.skip

/** Not the directory of temporary files: it may be a tmpfs itself. */
const ON_DISK = '/var/tmp'
const mounts: string[] = []
let base: string
let directory: string
beforeEach(() => {
  base = fs.mkdtempSync(path.join(ON_DISK, 'keylime secure-'))
  directory = path.join(base, 'secure')
})
afterEach(() => {
  for (const place of [...mounts.splice(0).reverse(), directory]) {
    try {
      execFileSync('umount', [place], { stdio: 'ignore' })
    } catch {}
  }
  fs.rmSync(base, { recursive: true, force: true })
})

const mount = (place: string, ...args: string[]) => {
  fs.mkdirSync(place, { recursive: true })
  execFileSync('mount', [...args, place])
  mounts.push(place)
}
const root = { uid: 0, gid: 0 }
const open = (owner = root, size = '1m') => openSecureMount({ directory, size, owner, logger: silentLogger })
const refusal = (text: RegExp) => expect.objectContaining({ code: 'secure_mount_refused', message: expect.stringMatching(text) })

asRoot('it mounts a tmpfs of the given size, 0700, nosuid and nodev, and unmounts it', () => {
  const secure = open()
  expect(secure.mountedByUs).toBe(true)
  const info = fs
    .readFileSync('/proc/self/mountinfo', 'utf8')
    .split('\n')
    .find((line) => line.includes(`${path.basename(base).replace(' ', '\\040')}/secure`))
  expect(info).toMatch(/nosuid,nodev/)
  expect(info).toMatch(/size=1024k/)
  expect(fs.statSync(directory).mode & 0o777).toBe(0o700)
  expect(() => fs.writeFileSync(path.join(directory, 'big'), Buffer.alloc(2 << 20))).toThrow(/ENOSPC/)
  secure.check()
  secure.unmount()
  expect(() => secure.check()).toThrow(refusal(/not a mount point/))
})

asRoot('a good tmpfs that is there already is used', () => {
  mount(directory, '-t', 'tmpfs', '-o', 'size=1m,mode=0700', 'tmpfs')
  expect(open().mountedByUs).toBe(false)
})

asRoot("the mount of an earlier root run is handed to the user that the agent will be; another user's is refused", () => {
  mount(directory, '-t', 'tmpfs', '-o', 'size=1m,mode=0700', 'tmpfs')
  open({ uid: 1234, gid: 1234 })
  expect(fs.statSync(directory).uid).toBe(1234)
  expect(() => open({ uid: 4321, gid: 4321 })).toThrow(refusal(/belongs to uid 1234/))
})

asRoot('another file system there is refused', () => {
  mount(directory, '-t', 'ramfs', 'ramfs')
  expect(() => open()).toThrow(refusal(/ramfs is mounted there/))
})

asRoot('a tmpfs that others may enter is refused', () => {
  mount(directory, '-t', 'tmpfs', '-o', 'mode=0755', 'tmpfs')
  expect(() => open()).toThrow(refusal(/mode is 0755/))
})

asRoot('a bind mount of a part of another tmpfs is refused', () => {
  const other = path.join(base, 'other')
  mount(other, '-t', 'tmpfs', '-o', 'mode=0700', 'tmpfs')
  fs.mkdirSync(path.join(other, 'part'), { mode: 0o700 })
  fs.mkdirSync(directory)
  execFileSync('mount', ['--bind', path.join(other, 'part'), directory])
  mounts.push(directory)
  expect(() => open()).toThrow(refusal(/bind mount of \/part/))
})

asRoot('a plain directory bound over itself on a disk is refused', () => {
  fs.mkdirSync(directory, { mode: 0o700 })
  execFileSync('mount', ['--bind', directory, directory])
  mounts.push(directory)
  expect(() => open()).toThrow(refusal(/not a tmpfs/))
})

asRoot('a directory that is not the mount which mountinfo shows at its path is refused, be it on another tmpfs or on none', () => {
  const under = path.join(base, 'under')
  directory = path.join(under, 'secure')
  mount(directory, '-t', 'tmpfs', '-o', 'mode=0700', 'tmpfs')
  for (const [type, words] of [
    ['tmpfs', /the open directory is on device \d+:\d+, the mount on \d+:\d+/],
    ['ramfs', /the open directory is not on a tmpfs/],
  ] as const) {
    mount(under, '-t', type, type) // hides the good one, which mountinfo still lists
    fs.mkdirSync(directory, { mode: 0o700 })
    expect(() => open()).toThrow(refusal(words))
  }
})

asRoot('where the kernel can do without, nothing of it goes to swap', () => {
  const plain = path.join(base, 'plain')
  fs.mkdirSync(plain)
  let canDo = true
  try {
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'noswap', 'tmpfs', plain], { stdio: 'ignore' })
    mounts.push(plain)
  } catch {
    canDo = false // before Linux 6.4
  }
  open()
  expect(execFileSync('findmnt', ['-no', 'FS-OPTIONS', directory], { encoding: 'utf8' }).includes('noswap')).toBe(canDo)
})

asRoot('a link in its place is refused, wherever it leads', () => {
  const other = path.join(base, 'other')
  mount(other, '-t', 'tmpfs', '-o', 'mode=0700', 'tmpfs')
  fs.symlinkSync(other, directory)
  expect(() => open()).toThrow(refusal(/link or a file/))
})

asRoot('a read-only tmpfs is refused', () => {
  mount(directory, '-t', 'tmpfs', '-o', 'mode=0700,ro', 'tmpfs')
  expect(() => open()).toThrow(refusal(/read-only/))
})

asRoot('a mount that is replaced while the agent runs is noticed', () => {
  const secure = open()
  mount(directory, '-t', 'ramfs', 'ramfs')
  expect(() => secure.check()).toThrow(refusal(/ramfs/))
})

test.each(['1m,exec', 'x1m', '1mm', 'm', '', '1234567890123456'])('the size "%s" is none and never reaches mount', (size) => {
  expect(() => open(root, size)).toThrow(refusal(/not a size/))
})

asRoot('what the kernel does not mount is refused', () => {
  expect(() => open({ uid: -1, gid: 0 })).toThrow(refusal(/^cannot mount a tmpfs at/))
})

asRoot('a file in its place is refused', () => {
  fs.writeFileSync(directory, '')
  expect(() => open()).toThrow(refusal(/is a link or a file, not a directory/))
})

asRoot.each([
  ['', ['is mounted without nosuid and nodev']],
  [',nosuid', ['is mounted without nodev']],
  [',nodev', ['is mounted without nosuid']],
  [',nosuid,nodev', []],
  [',nosuid,nodev,noexec', ['is mounted noexec: the script of a payload cannot start itself there']],
])('of a tmpfs that others mounted%s is said what it lacks', (options, lacks) => {
  mount(directory, '-t', 'tmpfs', '-o', `mode=0700${options}`, 'tmpfs')
  const logged: string[] = []
  const log = (message: string) => void logged.push(message)
  openSecureMount({ directory, size: '1m', owner: root, logger: { info: log, warn: log } as never })
  expect(logged).toEqual([...lacks.map((text) => `the tmpfs for secrets ${text}`), 'using the tmpfs for secrets that is mounted'])
})

asRoot('no descriptor is left open, be it mounted or found', () => {
  const count = () => fs.readdirSync('/proc/self/fd').length
  const before = count()
  open().check()
  open({ uid: 1234, gid: 1234 })
  expect(count()).toBe(before)
})

asRoot('one that it mounted itself lacks nothing, and it says so when that is gone', () => {
  const logged: string[] = []
  const log = (message: string) => void logged.push(message)
  openSecureMount({ directory, size: '1m', owner: root, logger: { info: log, warn: log } as never }).unmount()
  expect(logged).toEqual(['mounted the tmpfs for secrets', 'unmounted the tmpfs for secrets'])
})

test('without keylime_dir the error says so', () => {
  fs.rmSync(base, { recursive: true })
  expect(() => open()).toThrow(refusal(/does not exist/))
})
