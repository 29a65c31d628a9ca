import { execFileSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import fs from 'node:fs'
import http from 'node:http'
import type net from 'node:net'
import os from 'node:os'
import path from 'node:path'
import zlib from 'node:zlib'
import { createRuntimePolicy } from '../../../src/tools/policy/create-runtime.ts'

/**
 * Repositories in the forms that distributions and vendors have them, made by rpmbuild and createrepo_c: two versions of one name, packages for two architectures and a
 * source package, other digests and compressions, packages under another root, lists beside the primary one.
 */
const dir = fs.mkdtempSync(path.join(os.tmpdir(), 'keylime-rpms-'))
const at = (...names: string[]) => path.join(dir, ...names)
const run = (file: string, args: string[]) => execFileSync(file, args, { stdio: ['pipe', 'pipe', 'ignore'] })
let told: string[] = []
const digestsOf = async (options: Parameters<typeof createRuntimePolicy>[0]) => {
  told = []
  const { digests } = await createRuntimePolicy(options, { tell: (note) => void told.push(note), progress: () => {} })
  return Object.fromEntries([...digests].map(([name, list]) => [name, [...list].sort()]))
}
const sha256 = (text: string) => createHash('sha256').update(text).digest('hex')
const EXPECTED = { '/usr/bin/hello': [sha256('1.0\n'), sha256('2.0\n')].sort() }

function build(version: string): void {
  const text = `Name: hello
Version: ${version}
Release: 1
Summary: x
License: MIT
BuildArch: noarch
%description
x
%install
mkdir -p %{buildroot}/usr/bin
echo ${version} > %{buildroot}/usr/bin/hello
%files
/usr/bin/hello
`
  fs.writeFileSync(at('hello.spec'), text)
  const defines = [`_topdir ${at('top')}`, '_source_filedigest_algorithm 8', '_binary_filedigest_algorithm 8']
  run('rpmbuild', ['-ba', ...defines.flatMap((define) => ['--define', define]), at('hello.spec')])
}

const server = http.createServer((request, response) => {
  const file = at(decodeURIComponent(new URL(request.url!, 'http://x').pathname))
  if (!fs.existsSync(file)) return void response.writeHead(404).end()
  response.end(fs.readFileSync(file))
})
let url: string

beforeAll(async () => {
  for (const version of ['1.0', '2.0']) build(version)
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  url = `http://127.0.0.1:${(server.address() as net.AddressInfo).port}`
})
afterAll(() => {
  server.close()
  fs.rmSync(dir, { recursive: true })
})

/** A repository of all packages that were built, below `name`. */
function repository(name: string, ...options: string[]): string {
  fs.mkdirSync(at(name, 'Packages/h'), { recursive: true })
  for (const file of ['RPMS/noarch/hello-1.0-1.noarch.rpm', 'RPMS/noarch/hello-2.0-1.noarch.rpm', 'SRPMS/hello-2.0-1.src.rpm'])
    fs.copyFileSync(at('top', file), at(name, 'Packages/h', path.basename(file)))
  run('createrepo_c', [...options, at(name)])
  return at(name)
}

const REPOMD = 'repodata/repomd.xml'
const rewrite = (root: string, change: (text: string) => string) =>
  fs.writeFileSync(path.join(root, REPOMD), change(fs.readFileSync(path.join(root, REPOMD), 'utf8')))

/** The primary list in another compression. */
function recompress(root: string, suffix: string, compress: (text: Buffer) => Buffer): void {
  const old = /href="(repodata\/[0-9a-f]+-primary\.xml\.gz)"/.exec(fs.readFileSync(path.join(root, REPOMD), 'utf8'))![1]!
  const bytes = fs.readFileSync(path.join(root, old))
  const packed = compress(zlib.gunzipSync(bytes))
  fs.writeFileSync(path.join(root, old.replace('.gz', suffix)), packed)
  const digest = (of: Buffer) => createHash('sha256').update(of).digest('hex')
  rewrite(root, (text) =>
    text.replace(`href="${old}"`, `href="${old.replace('.gz', suffix)}"`).replace(`>${digest(bytes)}<`, `>${digest(packed)}<`),
  )
}

const compressedBy = (program: string) => (text: Buffer) => execFileSync(program, ['-c'], { input: text }) as Buffer
const FORMS: [string, string[], (root: string) => void][] = [
  ['as it comes', [], () => {}],
  ['with SHA-512', ['--checksum', 'sha512'], () => {}],
  ['with SHA-384', ['--checksum', 'sha384'], () => {}],
  ['with all lists compressed by xz', ['--general-compress-type', 'xz'], () => {}],
  ['with a list compressed by zstd', [], (root) => recompress(root, '.zst', zlib.zstdCompressSync)],
  ['with a list compressed by bzip2', [], (root) => recompress(root, '.bz2', compressedBy('bzip2'))],
  ['with a list that is not compressed', [], (root) => recompress(root, '', (text) => text)],
  ['with SQLite databases beside the lists', ['--database'], () => {}],
  [
    'with delta packages, modules and advisories',
    [],
    (root) => {
      fs.mkdirSync(path.join(root, 'drpms'))
      fs.writeFileSync(path.join(root, 'drpms/hello-1.0-1_2.0-1.noarch.drpm'), 'delta')
      const other = (type: string) =>
        `<data type="${type}"><checksum type="sha256">${'0'.repeat(64)}</checksum><location href="repodata/${type}.xml.gz"/></data>`
      rewrite(root, (text) =>
        text.replace(
          '<data type="primary">',
          `${['prestodelta', 'modules', 'updateinfo', 'group_gz'].map(other).join('')}<data type="primary">`,
        ),
      )
    },
  ],
  [
    'with a namespace and comments of a vendor',
    [],
    (root) => rewrite(root, (text) => text.replace('?>', '?>\n<!-- made by <a> & "b" -->')),
  ],
]

describe.each(FORMS)('a repository %s', (name, options, change) => {
  const root = name.replace(/[^a-z0-9]+/gi, '-')
  beforeAll(() => change(repository(root, ...options)))

  test('in a directory gives the files of all versions, and none of the source package', async () => {
    expect(await digestsOf({ localRpmRepo: at(root) })).toEqual(EXPECTED)
    expect(told).toEqual(['1 source packages are left out: nothing of them is installed', '3 packages read'])
  })

  test('that is served gives the same; a package that was changed is refused', async () => {
    expect(await digestsOf({ remoteRpmRepo: `${url}/${root}`, allowUnsigned: true })).toEqual(EXPECTED)
    expect(await digestsOf({ remoteRpmRepo: `${url}/${root}`, allowUnsigned: true, package: ['hello'] })).toEqual(EXPECTED)
    fs.appendFileSync(at(root, 'Packages/h/hello-1.0-1.noarch.rpm'), 'x')
    await expect(digestsOf({ localRpmRepo: at(root) })).rejects.toMatchObject({ code: 'refused' })
  })
})

test('packages under another root (xml:base) are fetched from there; a medium is no place on the network', async () => {
  const root = repository('elsewhere')
  const base = repository('composed', '--baseurl', `${url}/elsewhere`)
  expect(
    zlib
      .gunzipSync(
        fs.readFileSync(
          path.join(base, 'repodata', fs.readdirSync(path.join(base, 'repodata')).find((name) => name.includes('primary.xml'))!),
        ),
      )
      .toString(),
  ).toContain('xml:base=')
  fs.rmSync(path.join(base, 'Packages'), { recursive: true })
  expect(await digestsOf({ remoteRpmRepo: `${url}/composed/`, allowUnsigned: true })).toEqual(EXPECTED)
  fs.rmSync(path.join(root, 'Packages'), { recursive: true })
  await expect(digestsOf({ remoteRpmRepo: `${url}/composed/`, allowUnsigned: true })).rejects.toThrow(/elsewhere\/Packages/)
  repository('medium', '--baseurl', 'media://1')
  await expect(digestsOf({ remoteRpmRepo: `${url}/medium/`, allowUnsigned: true })).rejects.toMatchObject({
    message: expect.stringContaining('is at "media://1", which is not on the network'),
    hint: expect.stringContaining('--local-rpm-repo'),
  })
})

test('lists of SHA-1, and a database alone, are refused by name', async () => {
  repository('weak', '--checksum', 'sha1')
  for (const options of [{ localRpmRepo: at('weak') }, { remoteRpmRepo: `${url}/weak`, allowUnsigned: true }])
    await expect(digestsOf(options)).rejects.toMatchObject({
      message: expect.stringMatching(/repomd\.xml has for its primary list a digest of type sha1?, which proves nothing/),
      hint: expect.stringContaining('--checksum sha256'),
    })
  rewrite(repository('database', '--database'), (text) => text.replace(/<data type="primary">.*?<\/data>/s, ''))
  await expect(digestsOf({ localRpmRepo: at('database') })).rejects.toThrow(/only as an SQLite database/)
})
