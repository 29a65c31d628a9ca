import { createHash } from 'node:crypto'
import fs from 'node:fs'
import http from 'node:http'
import type { AddressInfo } from 'node:net'
import os from 'node:os'
import path from 'node:path'
import { type CreateOptions, createRuntimePolicy } from '../../../src/tools/policy/create-runtime.ts'
import { ThrowAwayGpg } from '../../gpg.ts'
import { buildDeb, buildRpm, buildTar } from '../../package-builder.ts'

const dir = fs.mkdtempSync(path.join(os.tmpdir(), 'keylime-signed-'))
const gpg = new ThrowAwayGpg()
/** What the server has, by its path. */
const site = new Map<string, Buffer>()
const server = http.createServer((request, response) => {
  const body = site.get(request.url!)
  const range = /^bytes=0-(\d+)$/.exec(request.headers.range ?? '')
  if (!body) return void response.writeHead(404).end()
  response.writeHead(range ? 206 : 200).end(range ? body.subarray(0, Number(range[1]) + 1) : body)
})
const LONG_AGO = '20200101T000000'
let url = ''
beforeAll(async () => {
  for (const name of ['mine', 'other', 'revoked']) gpg.makeKey(name)
  gpg.makeKey('expired', LONG_AGO)
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
})
afterAll(async () => {
  await new Promise((resolve) => server.close(resolve))
  gpg.remove()
  fs.rmSync(dir, { recursive: true, force: true })
})
beforeEach(() => site.clear())

const sha256 = (data: string | Buffer) => createHash('sha256').update(data).digest('hex')
const put = (name: string, data: string | Buffer) => void site.set(name, Buffer.from(data))
const change = (name: string, from: string, to: string) =>
  put(name, Buffer.from(site.get(name)!.toString('latin1').replace(from, to), 'latin1'))
function keyFile(name: string, form: 'binary' | 'armor' = 'binary'): string {
  const file = path.join(dir, `${name}.${form}`)
  fs.writeFileSync(file, gpg.publicKey(name, form))
  return file
}

/** @returns digests by path, and all that was told. */
async function created(options: CreateOptions): Promise<{ digests: Record<string, string[]>; told: string }> {
  const notes: string[] = []
  const parts = await createRuntimePolicy(options, { tell: (note) => void notes.push(note), progress: () => undefined })
  return { digests: Object.fromEntries([...parts.digests].map(([name, set]) => [name, [...set]])), told: notes.join('\n') }
}

describe('of a Debian repository', () => {
  const SUITE = '/debian/dists/stable/'
  const INDEX = `${SUITE}main/binary-amd64/`
  const deb = buildDeb(buildTar([{ name: './usr/bin/r', content: 'r' }]))
  const accepted = { '/usr/bin/r': [sha256('r')] }
  const make = (options: CreateOptions) => created({ remoteDebRepo: `${url}${INDEX}`, ...options })

  /** @returns the text that is to be signed. */
  function repository(): string {
    put('/debian/pool/r.deb', deb)
    const packages = `Package: r\nFilename: pool/r.deb\nSHA256: ${sha256(deb)}\n\n`
    put(`${INDEX}Packages`, packages)
    return `Suite: stable\nSHA256:\n ${sha256(packages)} ${packages.length} main/binary-amd64/Packages\n`
  }
  const clearSigned = (key: string) => put(`${SUITE}InRelease`, gpg.clearSigned(key, repository()))
  function detached(key: string, options: string[] = []): void {
    const release = repository()
    put(`${SUITE}Release`, release)
    put(`${SUITE}Release.gpg`, gpg.detached(key, release, options))
  }

  test.each(['binary', 'armor'] as const)(
    'a good signature by a key in a file (%s) is told, inside of InRelease and beside Release',
    async (form) => {
      const keyring = [keyFile('other'), keyFile('mine', form)]
      clearSigned('mine')
      expect(await make({ keyring })).toMatchObject({
        digests: accepted,
        told: expect.stringMatching(/InRelease: signed by mine \([0-9A-F]{16}\)/),
      })
      site.clear()
      detached('mine')
      expect(await make({ keyring })).toMatchObject({ digests: accepted, told: expect.stringMatching(/Release: signed by mine/) })
    },
  )

  test.each<[string, string, string, string, RegExp]>([
    ['InRelease', `${SUITE}InRelease`, 'Suite: stable', 'Suite: stabel', /InRelease: the signature of mine .* does not fit/],
    ['the list of packages', `${INDEX}Packages`, 'Package: r', 'Package: s', /Packages: has SHA-256/],
    ['a package', '/debian/pool/r.deb', 'debian-binary', 'debian-binarx', /r\.deb: (?:has SHA-256|is not a Debian)/],
  ])('one changed byte is found in %s, whatever is allowed', async (_name, file, from, to, message) => {
    clearSigned('mine')
    change(file, from, to)
    await expect(make({ keyring: [keyFile('mine')], allowUnsigned: true })).rejects.toThrow(message)
  })

  test('one changed byte is found in Release and in its signature', async () => {
    detached('mine')
    change(`${SUITE}Release`, 'stable', 'stabel')
    await expect(make({ keyring: [keyFile('mine')], allowUnsigned: true })).rejects.toMatchObject({ code: 'refused' })
    detached('mine')
    site.get(`${SUITE}Release.gpg`)!.writeUInt8(site.get(`${SUITE}Release.gpg`)!.at(-1)! ^ 1, site.get(`${SUITE}Release.gpg`)!.length - 1)
    await expect(make({ keyring: [keyFile('mine')], allowUnsigned: true })).rejects.toMatchObject({ code: 'refused' })
  })

  test('text around the signed one does not count, and a second signed text is refused', async () => {
    clearSigned('mine')
    const signed = site.get(`${SUITE}InRelease`)!
    const forged = `SHA256:\n ${'0'.repeat(64)} 1 main/binary-amd64/Packages\n`
    put(`${SUITE}InRelease`, Buffer.concat([Buffer.from(forged), signed]))
    expect((await make({ keyring: [keyFile('mine')] })).digests).toEqual(accepted)
    put(`${SUITE}InRelease`, Buffer.concat([signed, gpg.clearSigned('other', forged)]))
    await expect(make({ keyring: [keyFile('mine')] })).rejects.toThrow(/more than one signed text/)
  })

  test.each<[string, () => void, string[], RegExp]>([
    ['by a key that is not among the given', () => clearSigned('other'), ['mine'], /the key [0-9A-F]{16} that signed it is in no keyring/],
    [
      'by a key that has expired',
      () => detached('expired', ['--faked-system-time', '20200101T010000']),
      ['expired'],
      /of expired .* has expired/,
    ],
    ['over SHA-1', () => detached('mine', ['--digest-algo', 'SHA1']), ['mine'], /for which collisions can be made/],
    ['that is none', () => put(`${SUITE}InRelease`, repository()), ['mine'], /no signature that gpgv can read/],
    ['that is missing', () => put(`${SUITE}Release`, repository()), ['mine'], /Release: is not signed/],
    ['without Release at all', () => void repository(), ['mine'], /has no Release: nobody vouches/],
  ])('a signature %s is refused with a hint, and taken with a warning when that is allowed', async (_name, publish, keys, message) => {
    publish()
    const keyring = keys.map((name) => keyFile(name))
    await expect(make({ keyring })).rejects.toMatchObject({
      code: 'refused',
      message: expect.stringMatching(message),
      hint: expect.stringContaining('--allow-unsigned'),
    })
    expect(await make({ keyring, allowUnsigned: true })).toMatchObject({ digests: accepted, told: expect.stringMatching(/^warning: /) })
  })

  test('a revoked key is refused whatever is allowed', async () => {
    clearSigned('revoked')
    gpg.revoke('revoked')
    await expect(make({ keyring: [keyFile('revoked')], allowUnsigned: true })).rejects.toThrow(/the key of revoked .* was revoked/)
  })

  test('without --keyring the keys of the system count, which ours is not among', async () => {
    clearSigned('mine')
    await expect(make({})).rejects.toMatchObject({ code: 'refused', hint: expect.stringContaining('/etc/apt/trusted.gpg.d') })
  })

  test('packages are chosen by their names, and one that is not there is told', async () => {
    clearSigned('mine')
    const keyring = [keyFile('mine')]
    expect((await make({ keyring, package: ['r'] })).digests).toEqual(accepted)
    await expect(make({ keyring, package: ['r', 's'] })).rejects.toMatchObject({
      code: 'not_found',
      message: `${url}${INDEX}: has no package s`,
    })
  })

  test('a file that has no keys, and a machine without gpgv, are told', async () => {
    clearSigned('mine')
    const file = path.join(dir, 'no-keys')
    fs.writeFileSync(file, 'hello')
    await expect(make({ keyring: [file] })).rejects.toMatchObject({
      code: 'invalid_request',
      message: `--keyring: ${file} has no OpenPGP public keys`,
    })
    await expect(make({ keyring: [path.join(dir, 'nothing')] })).rejects.toMatchObject({ code: 'not_found' })
    const [before, keyring] = [process.env['PATH'], [keyFile('mine')]]
    process.env['PATH'] = dir
    try {
      await expect(make({ keyring })).rejects.toThrow(/gpgv is not installed/)
    } finally {
      process.env['PATH'] = before
    }
  })
})

describe('of an RPM repository', () => {
  const A = 'a'.repeat(64)
  const REPOMD = '/rpms/repodata/repomd.xml'
  const accepted = { '/usr/bin/tool': [A] }
  const make = (options: CreateOptions) => created({ remoteRpmRepo: `${url}/rpms`, ...options })

  function repository({ header, list }: { header?: string; list?: string }): void {
    const sign = header === undefined ? {} : { sign: (bytes: Buffer) => gpg.detached(header, bytes) }
    const rpm = buildRpm('tool', [{ path: '/usr/bin/tool', digest: A }], sign)
    put('/rpms/tool.rpm', rpm)
    const primary = `<metadata><package type="rpm"><name>tool</name><checksum type="sha256">${sha256(rpm)}</checksum><location href="tool.rpm"/></package></metadata>`
    put('/rpms/repodata/primary.xml', primary)
    const repomd = `<repomd><data type="primary"><checksum type="sha256">${sha256(primary)}</checksum><location href="repodata/primary.xml"/></data></repomd>`
    put(REPOMD, repomd)
    if (list !== undefined) put(`${REPOMD}.asc`, gpg.detached(list, repomd, ['--armor']))
  }
  /** The header again, with another digest of the file and a right SHA-256 of itself. */
  const forgeHeader = () => put('/rpms/tool.rpm', buildRpm('tool', [{ path: '/usr/bin/tool', digest: 'e'.repeat(64) }]))

  test.each([
    ['the list', { list: 'mine' }],
    ['each package', { header: 'mine' }],
    ['both', { list: 'mine', header: 'mine' }],
  ])('it is enough that %s is signed', async (_name, signed) => {
    repository(signed)
    expect(await make({ keyring: [keyFile('mine')], package: ['tool'] })).toMatchObject({ digests: accepted })
    await expect(make({ keyring: [keyFile('mine')], package: ['tools'] })).rejects.toThrow(/has no package tools/)
  })

  test('a changed list, a changed list of packages and a forged header are found', async () => {
    const options = { keyring: [keyFile('mine')], allowUnsigned: true }
    repository({ list: 'mine' })
    change(REPOMD, '<repomd>', '<repomd >')
    await expect(make(options)).rejects.toThrow(/repomd\.xml: the signature of mine .* does not fit/)
    repository({ list: 'mine' })
    change('/rpms/repodata/primary.xml', '<metadata>', '<metadata >')
    await expect(make(options)).rejects.toThrow(/primary\.xml: has SHA-256/)
    repository({ list: 'mine' })
    forgeHeader()
    await expect(make(options)).rejects.toThrow(/tool\.rpm: has SHA-256/)
    site.clear()
    repository({ header: 'mine' })
    const other = gpg.detached('mine', 'another header')
    put('/rpms/tool.rpm', buildRpm('tool', [{ path: '/usr/bin/tool', digest: A }], { sign: () => other }))
    await expect(make(options)).rejects.toThrow(/tool\.rpm: the signature of mine .* does not fit/)
  })

  test('what nobody known has signed is refused, or counted when it is allowed', async () => {
    repository({ list: 'other', header: 'other' })
    await expect(make({ keyring: [keyFile('mine')] })).rejects.toMatchObject({
      code: 'refused',
      message: expect.stringContaining('tool.rpm'),
    })
    expect(await make({ keyring: [keyFile('mine')], allowUnsigned: true })).toMatchObject({
      digests: accepted,
      told: expect.stringContaining('warning: 1 of 1 packages are not signed by any known key'),
    })
  })

  test('the repository’s own key vouches for nothing, and finds damage', async () => {
    repository({ list: 'other' })
    put(`${REPOMD}.key`, gpg.publicKey('other', 'armor'))
    await expect(make({})).rejects.toMatchObject({ code: 'refused' })
    expect((await make({ allowUnsigned: true })).digests).toEqual(accepted)
    change(REPOMD, '<repomd>', '<repomd >')
    await expect(make({ allowUnsigned: true })).rejects.toThrow(/the signature of other .* does not fit/)
  })
})

describe('of a directory', () => {
  const local = (name: string, data: string | Buffer) => {
    const file = path.join(dir, name)
    fs.mkdirSync(path.dirname(file), { recursive: true })
    fs.writeFileSync(file, data)
  }

  test('what is signed there is checked, and what is not is taken as it is', async () => {
    const deb = buildDeb(buildTar([{ name: './usr/bin/r', content: 'r' }]))
    const packages = `Package: r\nFilename: r.deb\nSHA256: ${sha256(deb)}\n\n`
    const release = `SHA256:\n ${sha256(packages)} ${packages.length} Packages\n`
    const make = (key: string) => created({ localDebRepo: path.join(dir, 'debs'), keyring: [keyFile(key)] })
    local('debs/r.deb', deb)
    local('debs/Packages', packages)
    local('debs/Release', release)
    expect((await make('mine')).told).toBe('1 package read')
    local('debs/Release.gpg', gpg.detached('mine', release))
    expect((await make('mine')).told).toMatch(/Release: signed by mine/)
    await expect(make('other')).rejects.toMatchObject({ code: 'refused' })
    local('debs/Packages', `${packages}\n`)
    await expect(make('mine')).rejects.toThrow(/Packages: has SHA-256/)
    local('debs/Release', `${release}\n\n x`)
    await expect(make('mine')).rejects.toThrow(/does not fit/)
  })

  test('so is the list of RPM packages', async () => {
    const rpm = buildRpm('tool', [{ path: '/usr/bin/tool', digest: 'a'.repeat(64) }])
    const primary = `<metadata><package type="rpm"><checksum type="sha256">${sha256(rpm)}</checksum><location href="tool.rpm"/></package></metadata>`
    const repomd = `<repomd><data type="primary"><checksum type="sha256">${sha256(primary)}</checksum><location href="repodata/primary.xml"/></data></repomd>`
    const make = (key: string) => created({ localRpmRepo: path.join(dir, 'rpms'), keyring: [keyFile(key)] })
    local('rpms/tool.rpm', rpm)
    local('rpms/repodata/primary.xml', primary)
    local('rpms/repodata/repomd.xml', repomd)
    local('rpms/repodata/repomd.xml.asc', gpg.detached('mine', repomd))
    expect((await make('mine')).told).toMatch(/repomd\.xml: signed by mine/)
    await expect(make('other')).rejects.toMatchObject({ code: 'refused' })
    local('rpms/repodata/repomd.xml', `${repomd}\n`)
    await expect(make('mine')).rejects.toThrow(/does not fit/)
  })
})
