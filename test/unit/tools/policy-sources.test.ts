import { execFileSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import fs from 'node:fs'
import http from 'node:http'
import type { AddressInfo } from 'node:net'
import os from 'node:os'
import path from 'node:path'
import zlib from 'node:zlib'
import { type CreateOptions, createdText, createRuntimePolicy } from '../../../src/tools/policy/create-runtime.ts'
import { buildCpio, buildDeb, buildRpm, buildTar } from '../../package-builder.ts'

const dir = fs.mkdtempSync(path.join(os.tmpdir(), 'keylime-sources-'))
const site = path.join(dir, 'site')
const server = http.createServer((request, response) => {
  const file = path.join(site, decodeURI(request.url!))
  if (!fs.existsSync(file) || fs.statSync(file).isDirectory()) return void response.writeHead(404).end()
  const range = /^bytes=0-(\d+)$/.exec(request.headers.range ?? '')
  const body = fs.readFileSync(file)
  response.writeHead(range ? 206 : 200).end(range ? body.subarray(0, Number(range[1]) + 1) : body)
})
let url = ''
beforeAll(async () => {
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
})
afterAll(async () => {
  await new Promise((resolve) => server.close(resolve))
  fs.rmSync(dir, { recursive: true, force: true })
})

const sha256 = (data: string | Buffer) => createHash('sha256').update(data).digest('hex')
const md5 = (data: string) => createHash('md5').update(data).digest('hex')
const write = (name: string, data: string | Buffer) => {
  const file = path.join(dir, name)
  fs.mkdirSync(path.dirname(file), { recursive: true })
  fs.writeFileSync(file, data)
  return file
}
const notes: string[] = []
async function digestsOf(options: CreateOptions): Promise<Record<string, string[]>> {
  notes.length = 0
  const parts = await createRuntimePolicy(options, { tell: (note) => void notes.push(note), progress: () => undefined })
  return JSON.parse(createdText(parts, 0)).digests
}

describe('initial RAM disks', () => {
  const microcode = buildCpio([
    { name: 'kernel', mode: 0o40755 },
    { name: 'kernel/x86/microcode/GenuineIntel.bin', content: 'microcode' },
  ])
  const main = buildCpio([
    { name: './init', content: '#!/bin/sh' },
    { name: 'usr/bin/a b', inode: 7, links: 2 },
    { name: 'usr/bin/b', content: 'linked', inode: 7, links: 2 },
    { name: 'bin', content: 'usr/bin', mode: 0o120777 },
  ])
  const expected = {
    '/init': [sha256('#!/bin/sh')],
    '/kernel/x86/microcode/GenuineIntel.bin': [sha256('microcode')],
    '/usr/bin/a_b': [sha256('linked')],
    '/usr/bin/b': [sha256('linked')],
  }
  const packed = (program: string, ...options: string[]) => execFileSync(program, options, { input: main })
  const forms: [string, () => Buffer][] = [
    ['uncompressed', () => main],
    ['gzip', () => zlib.gzipSync(main)],
    ['gzip in two members', () => Buffer.concat([zlib.gzipSync(main.subarray(0, 100)), zlib.gzipSync(main.subarray(100))])],
    ['zstd', () => zlib.zstdCompressSync(main)],
    ['xz', () => packed('xz', '-c')],
    ['bzip2', () => packed('bzip2', '-c')],
    ['lz4', () => packed('lz4', '-l', '-c')],
  ]
  test.each(forms)('microcode in front, then %s', async (_name, form) => {
    const initrd = write('initrd.img', Buffer.concat([microcode, Buffer.alloc(512), form()]))
    expect(await digestsOf({ initrd: [initrd] })).toEqual(expected)
  })

  describe('in a unified kernel image', () => {
    /** An EFI program of these sections, as ukify makes it. */
    function efiProgram(sections: readonly [name: string, content: Buffer][]): Buffer {
      const head = Buffer.alloc(1024)
      head.write('MZ', 0, 'latin1')
      head.writeUInt32LE(128, 0x3c)
      head.write('PE\0\0', 128, 'latin1')
      head.writeUInt16LE(sections.length, 134)
      head.writeUInt16LE(240, 148)
      let at = head.length
      const bodies = sections.map(([name, content], i) => {
        const header = 128 + 24 + 240 + 40 * i
        const size = Math.ceil(content.length / 512) * 512
        head.write(name, header, 'latin1')
        head.writeUInt32LE(content.length, header + 8)
        head.writeUInt32LE(size, header + 16)
        head.writeUInt32LE(at, header + 20)
        at += size
        return Buffer.concat([content], size)
      })
      return Buffer.concat([head, ...bodies])
    }
    const disk = buildCpio([{ name: 'usr/bin/a', content: 'a' }])
    test('the initial RAM disk is read, and kernel and command line are told', async () => {
      const image = efiProgram([
        ['.text', Buffer.from('stub')],
        ['.uname', Buffer.from('6.1.0-9-amd64')],
        ['.cmdline', Buffer.from('root=/dev/x quiet\0')],
        ['.linux', Buffer.from('the kernel')],
        ['.initrd', disk],
        ['.initrd', buildCpio([{ name: 'usr/bin/b', content: 'b' }])],
      ])
      const notes: string[] = []
      const file = write('linux.efi', image)
      const parts = await createRuntimePolicy({ initrd: [file] }, { tell: (note) => void notes.push(note), progress: () => undefined })
      expect(JSON.parse(createdText(parts, 0)).digests).toEqual({ '/usr/bin/a': [sha256('a')], '/usr/bin/b': [sha256('b')] })
      expect(notes).toEqual([
        expect.stringMatching(/\(\.uname\) is "6\.1\.0-9-amd64"$/),
        expect.stringMatching(/\(\.cmdline\) is "root=\/dev\/x quiet"$/),
        expect.stringContaining(`10 bytes and SHA-256 ${sha256('the kernel')}`),
        `${file}: 2 files`,
      ])
    })
    test.each<[string, Buffer, RegExp]>([
      ['no initial RAM disk', efiProgram([['.linux', Buffer.from('x')]]), /without an initial RAM disk/],
      ['nothing', Buffer.from('MZ'), /ends too early/],
      ['no PE header', Buffer.concat([Buffer.from('MZ'), Buffer.alloc(200)]), /is not an EFI program/],
      ['a section behind its end', efiProgram([['.initrd', disk]]).subarray(0, 1100), /ends too early/],
      ['a section that is no disk', efiProgram([['.initrd', Buffer.from('nothing of the kind')]]), /is not an initial RAM disk/],
    ])('one of %s is refused', async (_what, image, message) =>
      expect(digestsOf({ initrd: [write('bad.efi', image)] })).rejects.toThrow(message),
    )
  })
  test('all of a directory are read, other files are not', async () => {
    for (const name of ['initrd.img-1', 'initramfs-2.img']) write(`boot/${name}`, buildCpio([{ name, content: name }]))
    write('boot/vmlinuz', 'kernel')
    expect(Object.keys(await digestsOf({ ramdiskDir: path.join(dir, 'boot') }))).toEqual(['/initramfs-2.img', '/initrd.img-1'])
    fs.mkdirSync(path.join(dir, 'empty'))
    await expect(digestsOf({ ramdiskDir: path.join(dir, 'empty') })).rejects.toMatchObject({ code: 'not_found' })
  })

  test('a program that is missing is named with its package', async () => {
    const before = process.env['PATH']
    process.env['PATH'] = path.join(dir, 'empty')
    const wanted = digestsOf({ initrd: [write('lzo.img', Buffer.from('894c5a4f0d0a1a0a', 'hex'))] })
    await expect(wanted).rejects.toMatchObject({
      code: 'not_found',
      message: expect.stringContaining('lzop'),
      hint: expect.stringContaining('apt install lzop'),
    })
    process.env['PATH'] = before
  })

  test.each<[string, Buffer, RegExp]>([
    ['no RAM disk', Buffer.from('hello world'), /is not an initial RAM disk/],
    ['an empty file', Buffer.alloc(0), /is empty/],
    ['a path that leads outside', buildCpio([{ name: '../etc/passwd', content: 'x' }]), /path "\.\.\/etc\/passwd"/],
    ['an end in the middle', main.subarray(0, 200), /ends too early/],
    ['rubbish behind', Buffer.concat([main, Buffer.from('rubbish')]), /after its cpio archives/],
    ['damaged gzip', Buffer.concat([zlib.gzipSync(main).subarray(0, 40), Buffer.alloc(40, 1)]), /gzip content cannot be decompressed/],
    ['damaged xz', Buffer.concat([Buffer.from('fd377a585a00', 'hex'), Buffer.alloc(100, 1)]), /xz content cannot be decompressed/],
    ['compression in compression in compression', [0, 1, 2, 3].reduce((inner) => zlib.gzipSync(inner), main as Buffer), /too many times/],
    ['a damaged header', Buffer.from(`070701${'zzzzzzzz'.repeat(13)}`), /damaged cpio header/],
    [
      'a name without end',
      Buffer.from(main.toString('latin1').replace(/^(.{94}).{8}/, '$1ffffffff'), 'latin1'),
      /name of 4294967295 bytes/,
    ],
  ])('%s is refused', async (_name, content, message) => {
    await expect(digestsOf({ initrd: [write('bad.img', content)] })).rejects.toThrow(message)
  })
})

describe('Debian packages', () => {
  const tar = buildTar([
    { name: './bin/', type: '5' },
    { name: './bin/tool', content: 'tool' },
    { name: './usr/lib/one', content: 'one' },
    { name: './usr/lib/two', type: '1', link: './usr/lib/one' },
    { name: './usr/lib/link', type: '2', link: 'one' },
    { name: '././@LongLink', type: 'L', content: `./usr/share/${'d/'.repeat(80)}long\0` },
    { name: './cut', content: 'long' },
    { name: './pax', type: 'x', content: '27 path=./usr/share/päx y\n' },
    { name: './cut', content: 'pax' },
  ])
  const expected = {
    '/bin/tool': [sha256('tool')],
    '/usr/bin/tool': [sha256('tool')],
    '/usr/lib/one': [sha256('one')],
    '/usr/lib/two': [sha256('one')],
    [`/usr/share/${'d/'.repeat(80)}long`]: [sha256('long')],
    '/usr/share/päx_y': [sha256('pax')],
  }
  test.each<[string, () => Buffer]>([
    ['nothing', () => buildDeb(tar)],
    ['gzip', () => buildDeb(zlib.gzipSync(tar), 'data.tar.gz')],
    ['zstd', () => buildDeb(zlib.zstdCompressSync(tar), 'data.tar.zst')],
    ['xz', () => buildDeb(execFileSync('xz', ['-c'], { input: tar }), 'data.tar.xz')],
  ])('are read, packed with %s', async (_name, deb) => {
    expect(await digestsOf({ debPackage: [write('x.deb', deb())] })).toEqual(expected)
  })

  test('as dpkg-deb builds them are read', async () => {
    write('pkg/DEBIAN/control', 'Package: x\nVersion: 1\nArchitecture: all\nMaintainer: x <x@example.org>\nDescription: x\n')
    write('pkg/usr/bin/x', 'the program')
    for (const folder of ['pkg', 'pkg/DEBIAN']) fs.chmodSync(path.join(dir, folder), 0o755) // whatever the umask
    execFileSync('dpkg-deb', ['--root-owner-group', '--build', path.join(dir, 'pkg'), path.join(dir, 'built.deb')])
    expect(await digestsOf({ debPackage: [path.join(dir, 'built.deb')] })).toEqual({ '/usr/bin/x': [sha256('the program')] })
  })

  test.each<[string, Buffer, RegExp]>([
    ['no package', Buffer.from('hello'), /is not a Debian package/],
    ['a package without data', buildDeb(Buffer.from('x'), 'other.tar'), /has no data\.tar/],
    ['a path that leads outside', buildDeb(buildTar([{ name: '../../x', content: 'x' }])), /path "\.\.\/\.\.\/x"/],
    ['a link to nothing', buildDeb(buildTar([{ name: 'x', type: '1', link: 'y' }])), /which it does not hold/],
    ['a damaged tar', buildDeb(Buffer.alloc(1024, 1)), /is not a tar archive|damaged tar header/],
    ['a tar that ends', buildDeb(tar.subarray(0, 700)), /ends too early/],
  ])('%s is refused, with the name of the file', async (_name, content, message) => {
    const file = write('bad.deb', content)
    await expect(digestsOf({ debPackage: [file] })).rejects.toMatchObject({
      code: 'archive_refused',
      message: expect.stringMatching(message),
    })
    await expect(digestsOf({ debPackage: [file] })).rejects.toThrow(file)
  })

  const deb = buildDeb(buildTar([{ name: './usr/bin/r', content: 'r' }]))
  const packages = (sha = sha256(deb)) => `Package: r\nFilename: pool/r.deb\nSize: 1\nSHA256: ${sha}\n\n`

  test('of a directory are checked against its list', async () => {
    write('repo/pool/r.deb', deb)
    const repo = path.join(dir, 'repo')
    expect(await digestsOf({ localDebRepo: repo })).toEqual({ '/usr/bin/r': [sha256('r')] })
    expect(notes[0]).toMatch(/no list Packages/)
    write('repo/Packages', packages())
    expect(await digestsOf({ localDebRepo: repo })).toEqual({ '/usr/bin/r': [sha256('r')] })
    expect(notes).toEqual(['1 package read'])
    write('repo/Packages', packages('0'.repeat(64)))
    await expect(digestsOf({ localDebRepo: repo })).rejects.toMatchObject({
      code: 'refused',
      message: expect.stringContaining('r.deb: has SHA-256'),
    })
    await expect(digestsOf({ localDebRepo: path.join(dir, 'empty') })).rejects.toMatchObject({ code: 'not_found' })
  })

  test('of a repository are fetched and checked from Release to content', async () => {
    write('site/debian/pool/r.deb', deb)
    const index = 'dists/stable/main/binary-amd64'
    const packed = zlib.gzipSync(packages())
    write(`site/debian/${index}/Packages.gz`, packed)
    write('site/debian/dists/stable/Release', `Suite: stable\nSHA256:\n ${sha256(packed)} ${packed.length} main/binary-amd64/Packages.gz\n`)
    const remoteDebRepo = `${url}/debian/${index}`
    expect(await digestsOf({ remoteDebRepo, allowUnsigned: true })).toEqual({ '/usr/bin/r': [sha256('r')] })
    write('site/debian/pool/r.deb', buildDeb(buildTar([{ name: './usr/bin/r', content: 'evil' }])))
    await expect(digestsOf({ remoteDebRepo, allowUnsigned: true })).rejects.toMatchObject({
      code: 'refused',
      message: expect.stringContaining('pool/r.deb'),
    })
    write(`site/debian/${index}/Packages.gz`, zlib.gzipSync(packages('0'.repeat(64))))
    await expect(digestsOf({ remoteDebRepo, allowUnsigned: true })).rejects.toMatchObject({
      code: 'refused',
      message: expect.stringContaining('Packages.gz'),
    })
  })

  test('of a flat repository are fetched; what is missing is said', async () => {
    write('site/flat/pool/r.deb', deb)
    write('site/flat/Packages', packages())
    expect(await digestsOf({ remoteDebRepo: `${url}/flat/`, allowUnsigned: true })).toEqual({ '/usr/bin/r': [sha256('r')] })
    expect(notes[0]).toMatch(/has no Release/)
    await expect(digestsOf({ remoteDebRepo: `${url}/none/`, allowUnsigned: true })).rejects.toMatchObject({ code: 'not_found' })
    write('site/flat/Packages', 'Package: r\n\n')
    await expect(digestsOf({ remoteDebRepo: `${url}/flat/`, allowUnsigned: true })).rejects.toThrow(/stanza 1 \(r\)/)
    await expect(digestsOf({ remoteDebRepo: 'ftp://x/' })).rejects.toMatchObject({ code: 'usage' })
    await expect(digestsOf({ remoteDebRepo: 'http://127.0.0.1:1/' })).rejects.toMatchObject({ code: 'unreachable' })
  })
})

test('of an installed Debian the unchanged files are taken, by the path that its kernel sees, and the others told', async () => {
  const root = path.join(dir, 'debian')
  for (const [name, content] of [
    ['usr/bin/good', 'good'],
    ['usr/bin/changed', 'now'],
    ['usr/bin/diverted.real', 'diverted'],
    ['etc/kept', 'kept'],
    ['etc/edited', 'mine'],
    ['opt/own', 'x'],
  ])
    write(`debian/${name}`, content!)
  fs.symlinkSync('usr/bin', path.join(root, 'bin'))
  write(
    'debian/var/lib/dpkg/info/a:amd64.md5sums',
    `${md5('good')}  bin/good\n${md5('was')}  usr/bin/changed\n${md5('x')}  usr/bin/gone\n${md5('diverted')}  usr/bin/diverted\n`,
  )
  write('debian/var/lib/dpkg/info/a:amd64.list', '/.\n/bin/good\n/usr/bin/changed\n/usr/bin/diverted\n/etc/kept\n/etc/edited\n')
  write('debian/var/lib/dpkg/diversions', '/usr/bin/diverted\n/usr/bin/diverted.real\nother\n')
  write('debian/var/lib/dpkg/status', `Package: a\nConffiles:\n /etc/kept ${md5('kept')}\n /etc/edited ${md5('was')}\n\n`)
  expect(await digestsOf({ debInstalled: root })).toEqual({
    '/etc/kept': [sha256('kept')],
    '/usr/bin/diverted.real': [sha256('diverted')],
    '/usr/bin/good': [sha256('good')],
  })
  expect(notes).toEqual([
    '3 files are as their packages brought them',
    '1 files are not what their packages brought (changed since installation), left out:',
    '  /usr/bin/changed (a)',
    '1 configuration files were changed, left out:',
    '  /etc/edited (a)',
    '1 files of packages are not there',
    '1 files belong to no package and are left out (--rootfs or --log adds them)',
  ])
  await expect(digestsOf({ debInstalled: path.join(dir, 'empty') })).rejects.toMatchObject({
    code: 'not_found',
    hint: expect.stringContaining('--rpm-installed'),
  })
})

describe('RPM packages', () => {
  const A = 'a'.repeat(64)
  const rpm = buildRpm('tool', [
    { path: '/usr/bin/tool', digest: A },
    { path: '/usr/share/a b', digest: 'b'.repeat(64), mode: 0o100644 },
    { path: '/usr/share', digest: '', mode: 0o40755 },
    { path: '/usr/lib/ghost', digest: '0'.repeat(64) },
  ])
  const expected = { '/usr/bin/tool': [A], '/usr/share/a_b': ['b'.repeat(64)] }

  test('give the digests of their headers', async () => {
    expect(await digestsOf({ rpmPackage: [write('tool.rpm', rpm)] })).toEqual(expected)
    const old = buildRpm('old', [{ path: '/usr/bin/old', digest: 'c'.repeat(32) }], { algorithm: 1 })
    const strong = buildRpm('strong', [{ path: '/usr/bin/strong', digest: 'd'.repeat(128) }], { algorithm: 10 })
    const rpmPackage = [write('tool.rpm', rpm), write('old.rpm', old), write('strong.rpm', strong)]
    expect(await digestsOf({ rpmPackage })).toEqual({ ...expected, '/usr/bin/strong': ['d'.repeat(128)] })
    expect(notes).toEqual([
      expect.stringMatching(/^1 packages have digests that no kernel measures.*old\.rpm/),
      expect.stringMatching(/sha512.*ima_hash=sha512/),
      '3 packages read',
    ])
  })

  test.each<[string, Buffer, RegExp]>([
    ['no package', Buffer.alloc(200), /is not an RPM package/],
    ['a package that ends', rpm.subarray(0, 150), /ends too early|is not an RPM/],
    ['a changed header', buildRpm('x', [{ path: '/x', digest: A }], { sha256: '0'.repeat(64) }), /does not have the SHA-256/],
    [
      'a header of impossible size',
      Buffer.concat([rpm.subarray(0, 96), Buffer.from('8eade80100000000ffffffffffffffff', 'hex')]),
      /header of 4294967295 entries/,
    ],
  ])('%s is refused', async (_name, content, message) => {
    await expect(digestsOf({ rpmPackage: [write('bad.rpm', content)] })).rejects.toThrow(message)
  })

  function repository(root: string, sha = sha256(rpm)) {
    write(`${root}/Packages/tool.rpm`, rpm)
    const primary = zlib.gzipSync(
      `<metadata packages="1"><package type="rpm"><name>tool</name><checksum type="sha256" pkgid="YES">${sha}</checksum><location href="Packages/tool.rpm"/></package></metadata>`,
    )
    write(`${root}/repodata/primary.xml.gz`, primary)
    write(
      `${root}/repodata/repomd.xml`,
      `<repomd><data type="other"><location href="x"/></data><data type="primary"><checksum type="sha256">${sha256(primary)}</checksum><location href="repodata/primary.xml.gz"/></data></repomd>`,
    )
  }

  test('of a directory are checked against its repodata', async () => {
    write('plain/tool.rpm', rpm)
    expect(await digestsOf({ localRpmRepo: path.join(dir, 'plain') })).toEqual(expected)
    repository('rpms')
    expect(await digestsOf({ localRpmRepo: path.join(dir, 'rpms') })).toEqual(expected)
    expect(notes).toEqual(['1 package read'])
    repository('rpms', '0'.repeat(64))
    await expect(digestsOf({ localRpmRepo: path.join(dir, 'rpms') })).rejects.toMatchObject({
      code: 'refused',
      message: expect.stringContaining('tool.rpm'),
    })
    await expect(digestsOf({ localRpmRepo: path.join(dir, 'empty') })).rejects.toMatchObject({ code: 'not_found' })
  })

  test('of a repository are read by their headers, and its list must have the digest that repomd.xml says', async () => {
    repository('site/rpms')
    expect(await digestsOf({ remoteRpmRepo: `${url}/rpms`, allowUnsigned: true })).toEqual(expected)
    write('site/rpms/repodata/primary.xml.gz', zlib.gzipSync('<metadata/>'))
    await expect(digestsOf({ remoteRpmRepo: `${url}/rpms`, allowUnsigned: true })).rejects.toMatchObject({ code: 'refused' })
    write('site/rpms/repodata/repomd.xml', '<repomd/>')
    await expect(digestsOf({ remoteRpmRepo: `${url}/rpms`, allowUnsigned: true })).rejects.toThrow(/no primary list/)
    await expect(digestsOf({ remoteRpmRepo: `${url}/none`, allowUnsigned: true })).rejects.toMatchObject({ code: 'not_found' })
  })

  test('that are installed come from the program rpm; without it that is said', async () => {
    const before = process.env['PATH']
    try {
      process.env['PATH'] = path.join(dir, 'empty')
      await expect(digestsOf({ rpmInstalled: '' })).rejects.toMatchObject({
        code: 'not_found',
        message: expect.stringContaining('the program rpm'),
      })
      const line = (...fields: (string | number)[]) => `echo '${fields.join('\t')}'\n`
      const script = `#!/bin/sh\n${line('bash-5-1.x86_64', 8, 0o100755, A, '/usr/bin/bash')}${line('bash-5-1.x86_64', 8, 0o40755, '', '/usr')}${line('key-1-1.none', '(none)', '', '', '')}`
      fs.chmodSync(write('fake/rpm', script), 0o755)
      process.env['PATH'] = `${path.join(dir, 'fake')}:${before}`
      expect(await digestsOf({ rpmInstalled: '' })).toEqual({ '/usr/bin/bash': [A] })
      write('fake/rpm', '#!/bin/sh\necho "cannot open Packages" >&2\nexit 1\n')
      await expect(digestsOf({ rpmInstalled: '' })).rejects.toThrow(/cannot open Packages/)
    } finally {
      process.env['PATH'] = before
    }
  })
})
