import { execFileSync } from 'node:child_process'
import fs from 'node:fs'
import path from 'node:path'
import { jest } from '@jest/globals'
import JSZip from 'jszip'
import { initCaDirectory } from '../../../src/authority/init-authority.ts'
import { caOptions, caSettings } from '../../../src/config/ca.ts'
import { loadConfig } from '../../../src/config/load.ts'
import { parseCertificate } from '../../../src/core/pki/certificate.ts'
import { command } from '../../../src/roles/ca/command.ts'
import { runUpstream } from '../../../src/roles/ca/upstream.ts'
import { temporaryKeylimeDir } from '../../servers.ts'

const environment = { ...process.env }
let home: ReturnType<typeof temporaryKeylimeDir>
beforeEach(() => {
  home = temporaryKeylimeDir({ KEYLIME_CA_PASSWORD: 'secret' })
  Object.assign(process.env, home.env)
})
afterEach(() => {
  for (const name of Object.keys(process.env)) if (!(name in environment)) delete process.env[name]
  home.remove()
})

async function printed(run: () => Promise<number>): Promise<{ code: number | string; text: string }> {
  let text = ''
  const catching = ((chunk: string) => {
    text += chunk
    return true
  }) as never
  const spies = [
    jest.spyOn(process.stdout, 'write').mockImplementation(catching),
    jest.spyOn(process.stderr, 'write').mockImplementation(catching),
  ]
  try {
    return { code: await run().catch((error) => error.code ?? String(error)), text }
  } finally {
    for (const spy of spies) spy.mockRestore()
  }
}

const ours = (action: string | undefined, argv: object = {}) => printed(() => command.run({ action, ...argv }))
const theirs = (...args: string[]) => printed(() => runUpstream(args))
const file = (name: string) => path.join(home.dir, 'ca', name)
const serialOf = (name: string, directory = path.join(home.dir, 'ca')) =>
  parseCertificate(fs.readFileSync(path.join(directory, `${name}-cert.crt`), 'utf8')).serial.toString()

test('rotate: --finish waits until services and agents can have taken the next authority, unless --yes; that of machines is not waited for', async () => {
  const { values } = loadConfig('ca', caOptions, { env: home.env })
  for (const name of ['cv_ca', 'ca']) {
    const directory = path.join(home.dir, name)
    await initCaDirectory({ directory, password: 'secret', settings: caSettings(values), now: Date.now })
    expect(await ours('rotate', { dir: directory })).toMatchObject({ code: 0 })
  }
  const services = { dir: path.join(home.dir, 'cv_ca') }
  await expect(command.run({ action: 'rotate', finish: true, ...services })).rejects.toMatchObject({
    code: 'refused',
    message: expect.stringMatching(/^the verifier at .* cannot say which machines know/),
    hint: expect.stringMatching(/--leave-behind/),
  })
  expect(await ours('rotate', { finish: true, yes: true, ...services })).toMatchObject({
    code: 0,
    text: expect.stringContaining('verifier and registrar'),
  })
  const { code, text } = await ours('rotate', { finish: true, dir: path.join(home.dir, 'ca') })
  expect([code, text]).toEqual([0, expect.stringContaining('until their next payload')])
  expect(text).not.toContain('verifier')
})

describe('keylime ca', () => {
  test('init, create, list, show, revoke, crl', async () => {
    expect(await ours('init')).toMatchObject({ code: 0, text: expect.stringContaining('Keylime Certificate Authority') })
    expect((await ours('list')).text).toContain('no certificate has been issued')
    const created = await ours('create', { name: 'web', san: ['web.example', '10.0.0.1'], days: 3 })
    const serial = /^certificate (\d{16}) for web issued/.exec(created.text)?.[1] ?? ''
    expect((await ours('show', { name: 'web' })).text).toMatch(/state +valid[\s\S]*host names +web\.example, 10\.0\.0\.1/)
    expect((await ours('revoke', { name: 'web', reason: 'superseded' })).text).toContain(`certificate ${serial} is revoked`)
    expect((await ours('revoke', { serial })).text).toContain('was revoked already')
    expect((await ours('list')).text).toMatch(new RegExp(`NAME +SERIAL +ROLE +STATE[^]*web +${serial} +revoked .*superseded`))
    expect(JSON.parse((await ours('list', { json: true })).text)).toMatchObject([
      { name: 'web', serial, state: 'revoked', reason: 'superseded' },
    ])
    expect((await ours('crl')).text).toContain('revocation list published')
  })
  test('an authority and a certificate are not overwritten by accident', async () => {
    await ours('init')
    await ours('create', { name: 'web' })
    expect((await ours('init')).code).toBe('already_exists')
    expect((await ours('create', { name: 'web' })).code).toBe('already_exists')
    const first = serialOf('web')
    expect((await ours('create', { name: 'web', replace: true })).text).toContain(`certificate ${serialOf('web')} for web`)
    const both = [first, serialOf('web')]
    expect((await ours('list')).text).toMatch(new RegExp(`web +${both[0]} +valid, earlier[^]*web +${both[1]} +valid `))
    expect(JSON.parse((await ours('revoke', { name: 'web', json: true })).text)).toEqual({
      ...{ serial: both[1], new: true, serials: both, revoked: both, unknown: [], elsewhere: [] },
    })
    fs.rmSync(file('issued'), { recursive: true })
    await ours('create', { name: 'db' })
    expect((await ours('create', { name: 'db', replace: true })).code).toBe(0)
    expect((await ours('init', { yes: true })).code).toBe(0)
    expect(fs.existsSync(file('web-cert.crt'))).toBe(false)
  })
  test('a serial that another copy of the authority gave can be revoked, and is told', async () => {
    await ours('init')
    const serial = `${2n ** 53n - 1n}`
    expect(await ours('revoke', { serial })).toMatchObject({
      code: 0,
      text: expect.stringContaining(`does not know certificate ${serial}: it was`),
    })
    expect(JSON.parse((await ours('revoke', { serial, json: true })).text)).toMatchObject({ new: false, elsewhere: [serial] })
    for (const other of [`${2n ** 53n}`, `${2n ** 52n - 1n}`]) expect((await ours('revoke', { serial: other })).code).toBe('not_found')
  })
  test('a signing request: the key stays with its owner, the asked names are taken', async () => {
    await ours('init')
    const csr = path.join(home.dir, 'own.csr')
    const key = path.join(home.dir, 'own.key')
    execFileSync(
      'openssl',
      [
        'req',
        '-new',
        '-newkey',
        'ec',
        '-pkeyopt',
        'ec_paramgen_curve:P-256',
        '-nodes',
        '-keyout',
        key,
        '-subj',
        '/CN=x',
        '-addext',
        'subjectAltName=DNS:own.example',
        '-out',
        csr,
      ],
      { stdio: 'ignore' },
    )
    expect((await ours('create', { name: 'own', csr })).code).toBe(0)
    expect((await ours('show', { name: 'own' })).text).toContain('own.example')
    expect(fs.existsSync(file('own-private.pem'))).toBe(false)
    expect(execFileSync('openssl', ['x509', '-in', file('own-cert.crt'), '-noout', '-pubkey'], { encoding: 'utf8' })).toBe(
      execFileSync('openssl', ['pkey', '-in', key, '-pubout'], { encoding: 'utf8' }),
    )
  })
  test('operator: a package for a second operator, from the authority of verifier and registrar', async () => {
    const cv = path.join(home.dir, 'cv_ca')
    expect((await ours('operator', { subject: 'alice' })).code).toBe('not_found')
    process.env['KEYLIME_CA_PASSWORD'] = 'default' // as the verifier made it, and nobody is asked
    await initCaDirectory({
      directory: cv,
      password: 'default',
      settings: caSettings(loadConfig('ca', caOptions, { env: process.env }).values),
      now: Date.now,
    })
    for (const days of [0, -3, 1.5, 1e9]) expect((await ours('operator', { subject: 'alice', days })).code).toBe('usage')
    const { code, text } = await ours('operator', { subject: 'alice', days: 30 })
    expect([code, text]).toEqual([0, expect.stringContaining(`keylime ca revoke -d ${cv} -n alice`)])
    const zip = await JSZip.loadAsync(fs.readFileSync(path.join(cv, 'alice-operator.zip')))
    expect(Object.keys(zip.files)).toEqual(['client-cert.crt', 'client-private.pem', 'cacert.crt'])
    expect((await ours('operator', { name: 'alice' })).code).toBe('already_exists')
    const first = serialOf('alice', cv)
    expect(JSON.parse((await ours('operator', { name: 'alice', replace: true, json: true })).text)).toMatchObject({
      serial: serialOf('alice', cv),
      revoked: first,
      gives_roles: true,
    })
    expect((await ours('list', { dir: cv })).text).toMatch(new RegExp(`alice +${serialOf('alice', cv)} +operator +valid`))
    expect((await ours('show', { dir: cv, subject: 'alice' })).text).toMatch(/role +operator[\s\S]*public key, SHA-256 +[0-9a-f]{64}/)
    expect((await ours('pkg', { dir: cv, name: 'alice' })).code).toBe('refused')
    expect((await ours('revoke', { dir: cv, subject: 'alice' })).code).toBe(0)
    expect((await ours('reissue', {})).text).toContain('signed again')
    expect(await ours('create', { dir: cv, name: 'registrar2', role: 'server' })).toMatchObject({ code: 0 })
    expect((await ours('list', { dir: cv })).text).toMatch(/registrar2 +\d+ +server +valid/)
  })
  test('a name is given once, and only to words that take one', async () => {
    await ours('init')
    expect((await ours('create', { subject: 'web', name: 'web' })).code).toBe('usage')
    expect((await ours('crl', { subject: 'web' })).code).toBe('usage')
    expect((await ours('create', { subject: 'web' })).code).toBe(0)
  })
  test.each(['constructor', '__proto__', 'toString'])('"%s" is no word', async (word) => {
    expect((await ours(word)).code).toBe('usage')
  })
  test('pkg holds six files', async () => {
    await ours('init')
    await ours('create', { name: 'web' })
    await ours('pkg', { name: 'web' })
    const zip = await JSZip.loadAsync(fs.readFileSync(file('web-pkg.zip')))
    expect(Object.keys(zip.files)).toEqual(['web-public.pem', 'web-cert.crt', 'web-private.pem', 'cacert.crt', 'cacrl.der', 'cacrl.pem'])
    expect(fs.statSync(file('web-pkg.zip')).mode & 0o777).toBe(0o600)
  })
  test('a password file is used, a wrong one is told', async () => {
    await ours('init')
    const right = path.join(home.dir, 'right')
    fs.writeFileSync(right, 'secret\nignored\n', { mode: 0o600 })
    process.env['KEYLIME_CA_PASSWORD'] = 'wrong'
    expect((await ours('crl')).code).toBe('wrong_password')
    expect((await ours('crl', { 'password-file': right })).code).toBe(0)
    expect((await ours('crl', { 'password-file': `${right}.not` })).code).toBe('file_failed')
    process.env['KEYLIME_CA_PASSWORD'] = 'default'
    expect((await ours('crl')).code).toBe('usage') // no terminal to ask on
    process.env['CREDENTIALS_DIRECTORY'] = home.dir
    fs.writeFileSync(path.join(home.dir, 'ca_password'), 'secret\n', { mode: 0o600 })
    expect((await ours('crl')).code).toBe(0)
  })
  test('passwd: the new password opens the key store, the old one no longer', async () => {
    await ours('init')
    await ours('create', { name: 'web' })
    const next = path.join(home.dir, 'next')
    fs.writeFileSync(next, '\n', { mode: 0o600 })
    expect((await ours('passwd', { 'new-password-file': next })).code).toBe('usage')
    fs.writeFileSync(next, 'other\n')
    expect((await ours('passwd', { 'new-password-file': next })).code).toBe(0)
    expect((await ours('crl')).code).toBe('wrong_password')
    expect((await ours('passwd', { 'new-password-file': next })).code).toBe('wrong_password')
    expect((await ours('create', { name: 'web2', 'password-file': next })).text).toMatch(/^certificate \d{16} for web2/)
  })
  test('import-priv takes over a key only with its certificate', async () => {
    await ours('init')
    const key = path.join(home.dir, 'ca.key')
    const { openKeystore } = await import('../../../src/core/keystore/keystore.ts')
    fs.writeFileSync(key, openKeystore(fs.readFileSync(file('private.yml'), 'utf8'), 'secret').ca)
    fs.rmSync(file('private.yml'))
    expect((await ours('import-priv', { file: key })).code).toBe('usage')
    expect((await ours('import-priv', { file: key, serial: '41' })).code).toBe(0)
    expect((await ours('create', { name: 'next' })).text).toMatch(/^certificate \d{16} for next/)
    expect(openKeystore(fs.readFileSync(file('private.yml'), 'utf8'), 'secret').lastSerial).toBe(41)
    for (const serial of ['4503599627370496', '9'.repeat(40)])
      expect((await ours('import-priv', { file: key, serial })).code).toBe('invalid_request')
    execFileSync('openssl', ['genrsa', '-out', key, '2048'], { stdio: 'ignore' })
    expect((await ours('import-priv', { file: key, serial: '1' })).code).toBe('refused')
  })
  test.each([
    [undefined, {}, 'usage'],
    ['nonsense', {}, 'usage'],
    ['create', {}, 'usage'],
    ['create', { name: '../x' }, 'invalid_request'],
    ['show', { name: 'nobody' }, 'not_found'],
    ['show', { name: '../../etc/passwd' }, 'invalid_request'],
    ['revoke', { name: 'nobody' }, 'not_found'],
    ['revoke', { serial: '77' }, 'not_found'],
    ['revoke', { serial: '0x2' }, 'usage'],
    ['pkg', { name: 'nobody' }, 'not_found'],
    ['create', { name: 'x', csr: '/nonexistent' }, 'not_found'],
  ])('%s %j is refused', async (action, argv, code) => {
    await ours('init')
    expect((await ours(action, argv)).code).toBe(code)
  })
  test('without an authority each action says how to make one', async () => {
    for (const [action, more] of [
      ['list', {}],
      ['crl', {}],
      ['show', { name: 'x' }],
      ['create', { name: 'x' }],
      ['revoke', { name: 'x' }],
    ] as const)
      expect((await ours(action, more)).code).toBe('not_found')
  })
})

describe('keylime_ca', () => {
  test('does its work with upstream’s words and status', async () => {
    expect(await theirs('-c', 'init')).toMatchObject({ code: 0, text: expect.stringContaining('CA certificate created successfully in') })
    expect(await theirs('-c', 'create', '-n', 'a')).toMatchObject({
      code: 0,
      text: expect.stringContaining('Created certificate for name a successfully in'),
    })
    expect(await theirs('-c', 'create', '-n', 'a')).toMatchObject({ code: 0 })
    expect(await theirs('-c', 'pkg', '-n', 'a', '-i')).toMatchObject({
      code: 0,
      text: expect.stringContaining('Creating cert package for a in a-pkg.zip'),
    })
    expect((await theirs('-c', 'revoke', '-n', 'a')).code).toBe(0)
    expect((await theirs('-c', 'init')).code).toBe(0)
  })
  test.each([
    [['-n', 'x'], 2, /required: -c\/--command/],
    [['-c', 'create'], 255, /must pass in a name/],
    [['-c', 'nonsense'], 255, /Invalid command: nonsense/],
    [['-c', 'import-priv'], 255, /last serial number/],
    [['-c', 'revoke', '-n', 'nobody'], 1, /no certificate for nobody/],
    [['-h'], 0, /^usage: keylime_ca/],
  ])('%j ends with %i', async (args, code, text) => {
    await theirs('-c', 'init')
    const result = await theirs(...args)
    expect(result.code).toBe(code)
    expect(result.text).toMatch(text)
  })
  test('a wrong password is told in upstream’s words', async () => {
    await theirs('-c', 'init')
    process.env['KEYLIME_CA_PASSWORD'] = 'wrong'
    expect(await theirs('-c', 'create', '-n', 'a')).toMatchObject({
      code: 1,
      text: expect.stringContaining('Invalid password for keystore'),
    })
  })
  test('a KEYLIME_DIR without access ends with 255', async () => {
    process.env['KEYLIME_DIR'] = '/nonexistent'
    expect((await theirs('-c', 'init')).code).toBe(255)
  })
})
