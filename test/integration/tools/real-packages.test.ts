import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { packageOwners } from '../../../src/io/programs/package-owners.ts'
import { createRuntimePolicy } from '../../../src/tools/policy/create-runtime.ts'
import { freePorts, until } from '../../servers.ts'

/** Sources of runtime policies as Debian's own programs make them: rpmbuild, createrepo_c, rpm, cpio and the compressors. */
const dir = fs.mkdtempSync(path.join(os.tmpdir(), 'keylime-packages-'))
const at = (...names: string[]) => path.join(dir, ...names)
const run = (file: string, args: string[], options: object = {}) =>
  execFileSync(file, args, { stdio: ['pipe', 'pipe', 'ignore'], ...options })
const told: string[] = []
const notes = { tell: (note: string) => void told.push(note), progress: () => {} }
const namesAndDigests = async (options: Parameters<typeof createRuntimePolicy>[0]) =>
  Object.fromEntries([...(await createRuntimePolicy(options, notes)).digests].map(([name, digests]) => [name, [...digests]]))
const sha256 = (file: string) => run('sha256sum', [file], { encoding: 'utf8' }).toString().slice(0, 64)

const SPEC = `Name: hello-x
Version: 1.0
Release: 1
Summary: x
License: MIT
BuildArch: noarch
%description
x
%install
mkdir -p %{buildroot}/usr/bin "%{buildroot}/usr/share/hello x"
printf '#!/bin/sh\\n' > %{buildroot}/usr/bin/hello-x
echo data > "%{buildroot}/usr/share/hello x/a b"
ln -s hello-x %{buildroot}/usr/bin/hx
%files
/usr/bin/hello-x
/usr/bin/hx
"/usr/share/hello x"
`
let expected: Record<string, string[]>
const rpm = at('top/RPMS/noarch/hello-x-1.0-1.noarch.rpm')
afterAll(() => fs.rmSync(dir, { recursive: true }))

beforeAll(() => {
  fs.mkdirSync(at('content'))
  fs.writeFileSync(at('content/script'), '#!/bin/sh\n')
  fs.writeFileSync(at('content/data'), 'data\n')
  expected = { '/usr/bin/hello-x': [sha256(at('content/script'))], '/usr/share/hello_x/a_b': [sha256(at('content/data'))] }
  fs.writeFileSync(at('x.spec'), SPEC)
  const define = (text: string) => ['--define', text]
  const macros = [
    ...define(`_topdir ${at('top')}`),
    ...define('_source_filedigest_algorithm 8'),
    ...define('_binary_filedigest_algorithm 8'),
  ]
  run('rpmbuild', ['-bb', ...macros, at('x.spec')])
})

test('a package, a directory and a repository of RPM give the digests of the files, without links', async () => {
  expect(await namesAndDigests({ rpmPackage: [rpm] })).toEqual(expected)
  fs.mkdirSync(at('repo'))
  fs.copyFileSync(rpm, at('repo/hello.rpm'))
  expect(await namesAndDigests({ localRpmRepo: at('repo') })).toEqual(expected)
  run('createrepo_c', [at('repo')])
  expect(await namesAndDigests({ localRpmRepo: at('repo') })).toEqual(expected)
  fs.appendFileSync(at('repo/hello.rpm'), 'x')
  await expect(namesAndDigests({ localRpmRepo: at('repo') })).rejects.toMatchObject({ code: 'refused' })
  fs.copyFileSync(rpm, at('repo/hello.rpm'))
})

test('a repository that is served', async () => {
  const [port] = (await freePorts(1)) as [number]
  const server: ChildProcess = spawn('python3', ['-m', 'http.server', '--bind', '127.0.0.1', String(port)], {
    cwd: at('repo'),
    stdio: 'ignore',
  })
  try {
    await until('the server', () =>
      fetch(`http://127.0.0.1:${port}/`).then(
        () => true,
        () => false,
      ),
    )
    expect(await namesAndDigests({ remoteRpmRepo: `http://127.0.0.1:${port}/`, allowUnsigned: true })).toEqual(expected)
  } finally {
    server.kill()
  }
})

test('the database of installed RPM packages', async () => {
  const root = at('root')
  fs.mkdirSync(root)
  run('rpm', ['--root', root, '--initdb'])
  run('rpm', ['--root', root, '-i', '--nodeps', '--noscripts', '--force-debian', rpm])
  expect(await namesAndDigests({ rpmInstalled: root })).toEqual(expected)
})

const inDirectory = (directory: string) =>
  run('cpio', ['-o', '-H', 'newc'], { cwd: directory, input: run('find', ['.'], { cwd: directory }) })

test.each([['gzip', '-9'], ['xz', '--check=crc32'], ['zstd'], ['lz4', '-l'], ['bzip2'], ['lzop'], ['cat']])(
  'an initial RAM disk of cpio behind the archive of microcode, compressed by %s',
  async (compressor, ...options) => {
    const [early, main, boot] = [at(`early-${compressor}`), at(`main-${compressor}`), at(`boot-${compressor}`)]
    for (const directory of [early, main, boot]) fs.mkdirSync(directory)
    fs.writeFileSync(path.join(early, 'microcode.bin'), 'code')
    fs.mkdirSync(path.join(main, 'usr/bin'), { recursive: true })
    fs.copyFileSync('/bin/true', path.join(main, 'usr/bin/tool'))
    const image = Buffer.concat([inDirectory(early), run(compressor, options, { input: inDirectory(main) })] as Buffer[])
    fs.writeFileSync(path.join(boot, 'initrd.img-1'), image)
    expect(await namesAndDigests({ ramdiskDir: boot })).toEqual({
      '/microcode.bin': [sha256(path.join(early, 'microcode.bin'))],
      '/usr/bin/tool': [sha256('/bin/true')],
    })
  },
)

test('who owns a file of this machine, by its own dpkg', async () => {
  const owners = await packageOwners(['/usr/bin/dpkg-query', at('content/data')], process.env)
  expect(Object.fromEntries(owners)).toEqual({ '/usr/bin/dpkg-query': { name: 'dpkg', version: expect.stringMatching(/^\d/) } })
})
