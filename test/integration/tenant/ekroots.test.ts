import { createPublicKey } from 'node:crypto'
import fs from 'node:fs'
import path from 'node:path'
import { jest } from '@jest/globals'
import { exitCodeOf, isKeylimeError } from '../../../src/core/errors.ts'
import { ekHashes } from '../../../src/core/identity/expected-tpm.ts'
import { fingerprint } from '../../../src/core/identity/maker-roots.ts'
import { parseCertificate } from '../../../src/core/pki/certificate.ts'
import type { Authority } from '../../../src/core/pki/issue.ts'
import { command } from '../../../src/roles/tenant/command.ts'
import { type SoftwareEk, softwareEk } from '../../software-ek.ts'
import { der, ecPair, extension, handMade, leaf, oid, root, utf8 } from '../../unit/core/pki/fixtures.ts'
import { TenantWorld } from './fixtures.ts'

const DAY = 86_400_000
const valid = { notBefore: Date.now() - DAY, notAfter: Date.now() + DAY }
const world = new TenantWorld()
const environment = { ...process.env }
const store = (...parts: string[]) => world.path('tpm_cert_store', ...parts)
const MAKER = await root('Chips & Co/Root', valid)

beforeAll(async () => {
  await world.start()
  Object.assign(process.env, world.home.env)
})
beforeEach(() => {
  fs.rmSync(store(), { recursive: true, force: true })
})
afterAll(async () => {
  for (const name of Object.keys(process.env)) if (!(name in environment)) delete process.env[name]
  await world.stop()
})

/** A command line, and what it printed. */
async function run(...words: string[]) {
  const json = words.includes('--json')
  const uuid = words.includes('-u') ? { uuid: [words.at(-1)!] } : {}
  const ids = words.filter((word) => word !== '--json').slice(0, words.includes('-u') ? -2 : undefined)
  const printed = { out: '', err: '' }
  const spies = (['stdout', 'stderr'] as const).map((name) =>
    jest.spyOn(process[name], 'write').mockImplementation(((text: string) => {
      printed[name === 'stdout' ? 'out' : 'err'] += text
      return true
    }) as never),
  )
  try {
    return { code: await command.run({ action: 'ekroots', ids, timeout: 10, ...(json ? { json } : {}), ...uuid }), ...printed, hint: '' }
  } catch (error) {
    if (!isKeylimeError(error)) throw error
    return { code: exitCodeOf(error.code), out: printed.out, err: error.message, hint: error.hint ?? '' }
  } finally {
    for (const spy of spies) spy.mockRestore()
  }
}

/** It says where its issuer's certificate is. */
const AIA = extension(
  '2b06010505070101',
  false,
  der(0x30, der(0x30, oid('2b06010505073002'), der(0x86, Buffer.from('http://chips.example/sub.crt')))),
)
const CA = extension('551d13', true, der(0x30, Buffer.from('0101ff', 'hex')))
const name = (text: string) => der(0x30, der(0x31, der(0x30, oid('550403'), utf8(text))))

/** An authority below the maker's root. */
function subordinate(by: Authority): Authority {
  const pair = ecPair()
  const bytes = handMade({
    ...{ subject: name('Chips Sub 7'), issuer: by.certificate.subjectName.der, key: by.key, publicKey: pair.publicKey },
    extensions: [CA],
  })
  return { certificate: parseCertificate(bytes), key: pair.privateKey }
}

const certified = (ek: Pick<SoftwareEk, 'privateKey'>, by: Authority, extensions = [AIA]) =>
  parseCertificate(
    handMade({
      ...{ subject: der(0x30), issuer: by.certificate.subjectName.der, key: by.key, publicKey: createPublicKey(ek.privateKey) },
      extensions,
    }),
  )

test('a root is added whole, readable by all and named for whom it is, and listed', async () => {
  const added = await run('add', world.file('one.pem', MAKER.certificate.pem))
  const file = `Chips-Co-Root-${fingerprint(MAKER.certificate).slice(0, 8)}.pem`
  expect(added).toMatchObject({ code: 0, out: `added "CN=Chips & Co/Root" as ${file} (SHA-256 ${fingerprint(MAKER.certificate)})\n` })
  expect(fs.readdirSync(store())).toEqual([file])
  expect(fs.statSync(store(file)).mode & 0o777).toBe(0o644)
  expect(fs.readFileSync(store(file), 'utf8')).toBe(`${MAKER.certificate.pem.trim()}\n`)
  const { out } = await run('list')
  expect(out.split('\n')[0]).toMatch(/^MAKER +KIND +FROM +UNTIL +FILE +SUBJECT +SHA-256$/)
  expect(out).toContain(fingerprint(MAKER.certificate))
  const sha256 = fingerprint(MAKER.certificate)
  const shown = { file, maker: 'Chips & Co/Root', subject: 'CN=Chips & Co/Root', kind: 'root', sha256 }
  expect(JSON.parse((await run('list', '--json')).out)).toMatchObject({
    result: 'ekroots',
    directory: store(),
    roots: [shown],
    problems: [],
  })
})

test('what is there already is not added twice; the rest of a file is', async () => {
  const sub = subordinate(MAKER)
  expect((await run('add', world.file('one.der', MAKER.certificate.der))).code).toBe(0)
  const again = await run('add', world.file('one.pem', MAKER.certificate.pem))
  expect([again.code, again.err]).toEqual([1, `${store()} already has this certificate`])
  const bundle = world.file('bundle.pem', `${MAKER.certificate.pem}\n${sub.certificate.pem}\n`)
  const { code, out, err } = await run('add', bundle, '--json')
  expect([code, err]).toEqual([0, expect.stringContaining('is already there')])
  const added = [expect.objectContaining({ subject: 'CN=Chips Sub 7', kind: 'intermediate' })]
  expect(JSON.parse(out)).toMatchObject({ result: 'ekroots_added', added, present: [fingerprint(MAKER.certificate)] })
  expect(fs.readdirSync(store())).toHaveLength(2)
})

test.each<[string, () => Promise<string | Buffer>, string]>([
  ['the certificate of a TPM', async () => certified(softwareEk(), MAKER).der, 'is not a certificate authority'],
  ['that of a server', async () => (await leaf(MAKER, 'server', valid)).pem, 'is not a certificate authority'],
  ['one that has ended', async () => (await root('Old', { notBefore: 0, notAfter: DAY })).certificate.pem, 'expired on 1970-01-02'],
  ['one of tomorrow', async () => (await root('New', { notBefore: Date.now() + DAY })).certificate.pem, 'is not valid before'],
  ['no certificate', async () => '# nothing', 'is neither PEM nor base64'],
])('%s is refused, and nothing of the others is added', async (_what, make, text) => {
  const bad = world.file('bad', await make())
  const { code, err, hint } = await run('add', world.file('one.pem', MAKER.certificate.pem), bad)
  expect([code, err]).toEqual([1, expect.stringContaining(text)])
  expect(err).toContain(bad)
  expect(hint).not.toBe('')
  expect(fs.existsSync(store())).toBe(false)
})

test('a directory that cannot be made, and files that are not there, are told', async () => {
  fs.writeFileSync(store(), '')
  expect(await run('add', world.file('one.pem', MAKER.certificate.pem))).toMatchObject({ code: 1 })
  expect(await run('add', world.path('none.pem'))).toMatchObject({ code: 6, err: expect.stringContaining('none.pem') })
})

test('check names the root to which a certificate chains, what lies between, serial and hash', async () => {
  const [ek, sub] = [softwareEk(), subordinate(MAKER)]
  await run('add', world.file('all.pem', `${MAKER.certificate.pem}\n${sub.certificate.pem}`))
  const file = world.file('ek.der', certified(ek, sub).der)
  const { code, out } = await run('check', file)
  expect(code).toBe(0)
  expect(out).toContain('chains to "CN=Chips & Co/Root"')
  expect(out).toContain('through  "CN=Chips Sub 7"')
  expect(out).toContain(`EK hash  ${ekHashes(ek.public)[0]}`)
  const { root: found, ...rest } = JSON.parse((await run('check', file, '--json')).out)
  expect(found).toMatchObject({ sha256: fingerprint(MAKER.certificate), file: expect.stringContaining('Chips-Co-Root') })
  expect(rest).toMatchObject({ result: 'ekroots_check', ok: true, serial: '9', ek_hash: ekHashes(ek.public)[0], expired: [] })
})

test('check says whose root is missing, and where the certificate says that it is', async () => {
  const sub = subordinate(MAKER)
  const alone = await run('check', world.file('ek.der', certified(softwareEk(), sub).der))
  expect([alone.code, alone.err, alone.hint]).toEqual([
    3,
    expect.stringContaining('the certificate of "CN=Chips Sub 7" is missing'),
    expect.stringContaining('http://chips.example/sub.crt'),
  ])
  const chain = `${certified(softwareEk(), sub).pem}\n${sub.certificate.pem}` // as TPMs deliver it
  expect((await run('check', world.file('ek.pem', chain))).err).toContain('the certificate of "CN=Chips & Co/Root" is missing')
})

test('check refuses what is no EK certificate, and a signature that is of another', async () => {
  await run('add', world.file('one.pem', MAKER.certificate.pem))
  const authority = await run('check', world.file('ca.pem', MAKER.certificate.pem))
  expect([authority.code, authority.err]).toEqual([3, expect.stringContaining('it is the certificate of an authority')])
  const liar = { certificate: MAKER.certificate, key: ecPair().privateKey }
  const forged = await run('check', world.file('forged.der', certified(softwareEk(), liar).der))
  expect([forged.code, forged.err]).toEqual([3, expect.stringContaining('is not of "CN=Chips & Co/Root"')])
})

test('check of a registered machine looks at its certificate, and at the EK that it is for', async () => {
  await world.machine('rack-7')
  await run('add', world.file('maker.pem', world.maker.certificate.pem))
  expect(await run('check', '-u', 'rack-7')).toMatchObject({ code: 0, out: expect.stringContaining('agent rack-7: the EK certificate of') })
  await world.machine('liar', { ek_tpm: softwareEk().public.toString('base64') })
  expect(await run('check', '-u', 'liar')).toMatchObject({ code: 3, err: expect.stringContaining('another key than the EK') })
  await world.machine('bare', { ekcert: null })
  expect(await run('check', '-u', 'bare')).toMatchObject({ code: 6, err: expect.stringContaining('without an EK certificate') })
  expect(await run('check', '-u', 'nobody')).toMatchObject({ code: 6 })
})

test('list tells what is in the way, and what has ended', async () => {
  fs.mkdirSync(store())
  fs.writeFileSync(store('notes.txt'), 'x')
  fs.writeFileSync(store('old.pem'), (await root('Old', { notBefore: 0, notAfter: DAY })).certificate.pem)
  const { out, err } = await run('list')
  expect(out).toContain('1970-01-02 (ended)')
  expect(err).toContain(`${path.join(store(), 'notes.txt')} is left out`)
})

test.each([
  [['lst'], 'did you mean `keylime tenant ekroots list`?'],
  [['add'], 'add FILE'],
  [['list', 'x'], 'check FILE'],
  [['check'], ''],
  [['check', 'a', 'b'], ''],
  [['list', '-u', 'a'], ''],
])('%j is a usage error', async (words, hint) => {
  expect(await run(...words)).toMatchObject({ code: 2, hint: expect.stringContaining(hint) })
})

test('an empty store says how to fill it', async () => {
  expect(await run('list')).toMatchObject({ code: 0, out: expect.stringContaining('`keylime tenant ekroots add FILE` adds one') })
})
