import { execFileSync } from 'node:child_process'
import fs from 'node:fs'
import { type FileHandle, open } from 'node:fs/promises'
import os from 'node:os'
import path from 'node:path'
import { jest } from '@jest/globals'
import { giveToOwner, makeDirectory, removeLeftovers, replaceFileAtomic, writeFileAtomic } from '../../../../src/io/files/atomic-file.ts'
import { readCertificateStore } from '../../../../src/io/files/certificate-store.ts'
import { readIncludeDirectories } from '../../../../src/io/files/include-directory.ts'
import { root } from '../../core/pki/fixtures.ts'

let directory: string
beforeEach(() => {
  directory = fs.mkdtempSync(path.join(os.tmpdir(), 'keylime-files-'))
})
afterEach(() => fs.rmSync(directory, { recursive: true }))
const put = (name: string, content: string | Buffer, mode = 0o644) => {
  const file = path.join(directory, name)
  fs.mkdirSync(path.dirname(file), { recursive: true })
  fs.writeFileSync(file, content)
  fs.chmodSync(file, mode)
  return file
}

const testAsRoot = process.getuid?.() === 0 ? test : test.skip
const openDescriptors = () => fs.readdirSync('/proc/self/fd').length
const ownerOf = (file: string) => [fs.statSync(file).uid, fs.statSync(file).gid]

test('a directory where none can be made is an error, and not the end of all', async () => {
  await expect(makeDirectory('/proc/x/y', 0o700)).rejects.toMatchObject({ code: 'ENOENT' })
  await expect(makeDirectory(path.join(put('file', ''), 'below'), 0o700)).rejects.toMatchObject({
    code: expect.stringMatching(/ENOTDIR|EEXIST/),
  })
  await makeDirectory(path.join(directory, 'a/b/c'), 0o700)
  await makeDirectory(path.join(directory, 'a/b/c'), 0o700)
  expect(fs.statSync(path.join(directory, 'a/b')).mode & 0o777).toBe(0o700)
})

test('what is no directory is an error; one that several make at once is made', async () => {
  await expect(makeDirectory(put('file', ''), 0o700)).rejects.toMatchObject({ code: 'EEXIST' })
  await Promise.all(Array.from({ length: 8 }, () => makeDirectory(path.join(directory, 'many'), 0o700)))
  expect(fs.statSync(path.join(directory, 'many')).isDirectory()).toBe(true)
})

testAsRoot('a directory that is there keeps its owner, and one of root’s is root’s', async () => {
  const kept = path.join(directory, 'service/kept')
  fs.mkdirSync(kept, { recursive: true })
  fs.chownSync(path.dirname(kept), 65_534, 65_533)
  await makeDirectory(kept, 0o700)
  expect(ownerOf(kept)).toEqual([0, 0])
  fs.chownSync(directory, 0, 1234)
  await makeDirectory(path.join(directory, 'roots'), 0o700)
  expect(ownerOf(path.join(directory, 'roots'))).toEqual([0, 0])
})

test('what killed writers left is removed, and nothing else', async () => {
  const kept = [
    'a',
    'b.0123456789ab.tmp',
    'b.c.0123456789ab.tmp',
    '.c.0123456789ab.tmp~',
    '.d.0123456789a.tmp',
    '.e.0123456789aX.tmp',
    '.0123456789ab.tmp',
  ]
  for (const name of [...kept, '.a.0123456789ab.tmp', '.f.g.fedcba987654.tmp']) put(name, '')
  fs.mkdirSync(path.join(directory, '.a.000000000000.tmp'))
  await removeLeftovers(directory)
  expect(fs.readdirSync(directory).sort()).toEqual([...kept, '.a.000000000000.tmp'].sort())
  await removeLeftovers(path.join(directory, 'none'))
})

test('a file that is replaced keeps its mode, and a new one gets the given', async () => {
  const file = put('a', 'old', 0o604)
  await replaceFileAtomic(file, 'new', 0o640)
  await replaceFileAtomic(path.join(directory, 'b'), 'new', 0o640)
  const found = ['a', 'b'].map((name) => [
    fs.readFileSync(path.join(directory, name), 'utf8'),
    fs.statSync(path.join(directory, name)).mode & 0o777,
  ])
  expect(found).toEqual([
    ['new', 0o604],
    ['new', 0o640],
  ])
})

describe('writeFileAtomic', () => {
  testAsRoot.each([
    [0, 0],
    [0, 1],
    [1, 0],
  ])('what belongs to %i:%i in the directory of a service does so when root has replaced it', async (uid, gid) => {
    const file = put('service/file', 'old')
    fs.chownSync(path.dirname(file), 65_534, 65_533)
    fs.chownSync(file, uid, gid)
    await writeFileAtomic(file, 'new', 0o600)
    expect(ownerOf(file)).toEqual([uid, gid])
  })
  testAsRoot('who is not root gives nothing away', async () => {
    fs.mkdirSync(path.join(directory, 'service'))
    fs.chownSync(path.join(directory, 'service'), 65_534, 65_533)
    const spy = jest.spyOn(process, 'geteuid').mockReturnValue(1234)
    const handle = await open(put('service/file', ''))
    const other = put('service/other', 'old')
    fs.chownSync(other, 1234, 1234)
    try {
      await giveToOwner(handle, path.join(directory, 'service'))
      await writeFileAtomic(other, 'new', 0o600)
      await makeDirectory(path.join(directory, 'service/below'), 0o700)
    } finally {
      spy.mockRestore()
      await handle.close()
    }
    for (const name of ['file', 'other', 'below']) expect(ownerOf(path.join(directory, 'service', name))).toEqual([0, 0])
  })
  testAsRoot('what root makes in the directory of a service is the service’s, and what it replaces keeps its owner', async () => {
    const inside = path.join(directory, 'service')
    fs.mkdirSync(inside)
    fs.chownSync(inside, 1, 65_533)
    await writeFileAtomic(path.join(inside, 'new'), 'x', 0o640)
    expect(ownerOf(path.join(inside, 'new'))).toEqual([1, 65_533])
    expect(fs.statSync(path.join(inside, 'new')).mode & 0o777).toBe(0o640)
    const other = put('service/other', 'old')
    fs.chownSync(other, 1234, 1234)
    await writeFileAtomic(other, 'new', 0o600)
    expect(ownerOf(other)).toEqual([1234, 1234])
    await makeDirectory(path.join(inside, 'a/b'), 0o700)
    for (const made of ['a', 'a/b']) expect(ownerOf(path.join(inside, made))).toEqual([1, 65_533])
    await writeFileAtomic(path.join(directory, 'own'), 'x', 0o600)
    expect(ownerOf(path.join(directory, 'own'))).toEqual([0, 0])
  })
  test('replaces content and mode, whatever the umask, and leaves nothing else behind', async () => {
    const file = put('a', 'old', 0o666)
    await writeFileAtomic(file, 'new', 0o600)
    expect(fs.readFileSync(file, 'utf8')).toBe('new')
    expect(fs.statSync(file).mode & 0o777).toBe(0o600)
    expect(fs.readdirSync(directory)).toEqual(['a'])
    const [umask, descriptors] = [process.umask(0o077), openDescriptors()]
    await writeFileAtomic(file, 'new', 0o644).finally(() => process.umask(umask))
    expect([fs.statSync(file).mode & 0o777, openDescriptors()]).toEqual([0o644, descriptors])
  })
  test('its content is on the disk before it has its name, and its name before it is done', async () => {
    const file = put('a', 'old')
    const handle = await open(file)
    const prototype = Object.getPrototypeOf(handle) as FileHandle
    await handle.close()
    const synced: [string, string][] = []
    const really = prototype.sync
    const spy = jest.spyOn(prototype, 'sync').mockImplementation(async function (this: FileHandle) {
      await really.call(this)
      synced.push([fs.readlinkSync(`/proc/self/fd/${this.fd}`), fs.readFileSync(file, 'utf8')])
    })
    await writeFileAtomic(file, 'new', 0o600).finally(() => spy.mockRestore())
    const temporary = expect.stringMatching(/\/\.a\.[0-9a-f]{12}\.tmp$/)
    expect(synced).toEqual([
      [temporary, 'old'],
      [fs.realpathSync(directory), 'new'],
    ])
  })
  testAsRoot('writes to a device, and to where a link of /dev leads, and replaces neither', async () => {
    const device = path.join(directory, 'null')
    execFileSync('mknod', ['-m', '666', device, 'c', '1', '3'])
    await writeFileAtomic(device, 'x', 0o600)
    expect([fs.statSync(device).isCharacterDevice(), fs.statSync(device).mode & 0o777]).toEqual([true, 0o666])
    const target = put('target', '')
    const handle = await open(target, 'r+')
    await writeFileAtomic(`/dev/fd/${handle.fd}`, 'new', 0o600).finally(() => handle.close())
    expect(fs.readFileSync(target, 'utf8')).toBe('new')
    const full = path.join(directory, 'full')
    execFileSync('mknod', [full, 'c', '1', '7'])
    await expect(writeFileAtomic(full, 'x', 0o600)).rejects.toMatchObject({
      code: 'file_failed',
      message: expect.stringContaining(`cannot write ${full}: ENOSPC`),
    })
    expect(fs.statSync(full).isCharacterDevice()).toBe(true)
  })
  test('replaces a link in place of following it', async () => {
    const target = put('target', 'kept')
    fs.symlinkSync(target, path.join(directory, 'link'))
    await writeFileAtomic(path.join(directory, 'link'), 'new', 0o600)
    expect(fs.readFileSync(target, 'utf8')).toBe('kept')
  })
  test('fails with the name of the file, and keeps the old one', async () => {
    await expect(writeFileAtomic(path.join(directory, 'no/such'), 'x', 0o600)).rejects.toMatchObject({
      code: 'file_failed',
      message: expect.stringContaining('no/such'),
    })
    fs.mkdirSync(path.join(directory, 'dir'))
    await expect(writeFileAtomic(path.join(directory, 'dir'), 'x', 0o600)).rejects.toMatchObject({ code: 'file_failed' })
    expect(fs.readdirSync(directory)).toEqual(['dir'])
  })
})

describe('readIncludeDirectories', () => {
  test('takes files of all sub-directories in order, with their executable bit', async () => {
    put('b', 'b')
    put('a/run', '#!', 0o755)
    put('a/z/deep', 'd')
    const entries = await readIncludeDirectories([directory], 1000)
    expect(entries.map(({ name, executable }) => [name, executable])).toEqual([
      ['a/run', true],
      ['a/z/deep', false],
      ['b', false],
    ])
  })
  test('refuses links, pipes, too much and nothing', async () => {
    const pipe = path.join(directory, 'sub/pipe')
    put('sub/x', '12345')
    await expect(readIncludeDirectories([directory], 4)).rejects.toMatchObject({ code: 'payload_too_large' })
    fs.symlinkSync('x', path.join(directory, 'sub/link'))
    await expect(readIncludeDirectories([directory], 1000)).rejects.toMatchObject({
      code: 'archive_refused',
      message: expect.stringContaining('sub/link is a symbolic link'),
    })
    fs.rmSync(path.join(directory, 'sub/link'))
    const { execFileSync } = await import('node:child_process')
    execFileSync('mkfifo', [pipe])
    await expect(readIncludeDirectories([directory], 1000)).rejects.toMatchObject({
      code: 'archive_refused',
      message: expect.stringContaining('a pipe'),
    })
    await expect(readIncludeDirectories([path.join(directory, 'none')], 1000)).rejects.toMatchObject({ code: 'not_found' })
    await expect(readIncludeDirectories([put('file', '')], 1000)).rejects.toMatchObject({ code: 'not_found' })
  })
})

describe('readCertificateStore', () => {
  test('reads PEM, every certificate of a file, and DER under any name, and says which files it left out', async () => {
    const [a, b, c, d] = [await root('A'), await root('B'), await root('C'), await root('D')]
    put('both.pem', `${a.certificate.pem}${b.certificate.pem}`)
    put('c.cer', c.certificate.der)
    put('d', d.certificate.pem)
    put('broken.pem', '-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n')
    put('empty.pem', 'nothing')
    put('huge.pem', Buffer.alloc(1024 * 1024 + 1))
    put('.hidden', 'x')
    put('d.pem~', 'x')
    put('old/a.pem', a.certificate.pem)
    const { certificates, problems } = await readCertificateStore(directory)
    expect(certificates.map(({ subject }) => subject)).toEqual(['CN=A', 'CN=B', 'CN=C', 'CN=D'])
    expect(problems.map((problem) => /(\w+\.pem) is left out/.exec(problem)?.[1])).toEqual(['broken.pem', 'empty.pem', 'huge.pem'])
  })
  test('a store that is not there is empty, one that cannot be read is an error', async () => {
    expect(await readCertificateStore(path.join(directory, 'none'))).toEqual({ certificates: [], problems: [] })
    await expect(readCertificateStore(put('file', ''))).rejects.toMatchObject({ code: 'file_failed' })
  })
})
