import { generateKeyPairSync } from 'node:crypto'
import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import type { CaAccess } from '../../../src/authority/ca-access.ts'
import { isWrongPassword, KeyStore } from '../../../src/authority/key-store.ts'
import { isRandomSerial, randomSerial } from '../../../src/authority/serials.ts'

let directory: string
beforeEach(() => {
  directory = fs.mkdtempSync(path.join(os.tmpdir(), 'keylime-key-store-'))
})
afterEach(() => fs.rmSync(directory, { recursive: true }))

const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
const accessWith = (password: string, changes: Partial<CaAccess> = {}) => ({ directory, password, ...changes }) as CaAccess
const access = () => accessWith('secret')
const file = () => path.join(directory, 'private.yml')
const contentOf = (store: KeyStore) => {
  const { lastSerial, issuedSerials, revokedSerials, crlNumber } = store
  return { lastSerial, issuedSerials, revokedSerials, crlNumber, keys: ['a', 'b'].map((name) => store.privateKeyOf(name)) }
}
/** What another program finds on the disk. */
const stored = async (password = 'secret') => contentOf(await KeyStore.open(accessWith(password)))
const RANDOM = 2n ** 52n + 7n
const NEW = { lastSerial: 1, issuedSerials: [], revokedSerials: [], crlNumber: undefined, keys: [undefined, undefined] }

test.each<[string, (store: KeyStore) => Promise<void>, object]>([
  ['a new store', async () => {}, {}],
  ['a serial with a key', (store) => store.useSerial(RANDOM, 'a', 'PEM'), { issuedSerials: [`${RANDOM}`], keys: ['PEM', undefined] }],
  ['a serial without one', (store) => store.useSerial(RANDOM, 'a', undefined), { issuedSerials: [`${RANDOM}`] }],
  ['a serial for a key that is where it was', (store) => store.takeSerials([RANDOM]), { issuedSerials: [`${RANDOM}`] }],
  ['a serial that was counted', (store) => store.takeSerials([3n, 2n]), { lastSerial: 3 }],
  ['one that is neither counted nor random', (store) => store.takeSerials([2n ** 150n]), { issuedSerials: [`${2n ** 150n}`] }],
  [
    'nothing that was given before',
    (store) => store.useSerial(RANDOM, 'a', undefined).then(() => store.takeSerials([1n, RANDOM])),
    { issuedSerials: [`${RANDOM}`] },
  ],
  ['what is revoked', (store) => store.addRevoked(['2', '3'], 7), { revokedSerials: ['2', '3'], crlNumber: 7 }],
])('%s is on the disk when its method returns', async (_what, change, changes) => {
  const store = await KeyStore.create(access(), privateKey, 1)
  await change(store)
  for (const found of [await stored(), contentOf(store)]) expect(found).toEqual({ ...NEW, ...changes })
  expect(store.authorityKey.equals(privateKey)).toBe(true)
  expect((fs.statSync(file()).mode & 0o777).toString(8)).toBe('600')
})

test('changes add up: what is revoked stays so, a key that its owner keeps is forgotten, others are not', async () => {
  const store = await KeyStore.create(access(), privateKey, 1)
  await store.useSerial(RANDOM + 2n, 'a', 'PEM a')
  await store.useSerial(RANDOM, 'b', 'PEM b')
  await store.addRevoked(['2'], 1)
  await store.useSerial(RANDOM + 1n, 'a', undefined)
  await store.addRevoked(['3'], 2)
  await store.takeSerials([5n, RANDOM + 9n])
  const issuedSerials = [2n, 0n, 1n, 9n].map((n) => `${RANDOM + n}`)
  expect(await stored()).toEqual({ lastSerial: 5, issuedSerials, revokedSerials: ['2', '3'], crlNumber: 2, keys: [undefined, 'PEM b'] })
})

test('the key of the authority before is there until it is dropped, and no certificate has its name', async () => {
  const store = await KeyStore.create(access(), privateKey, 1)
  await store.useSerial(RANDOM, 'a', 'PEM')
  const { privateKey: next } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  expect(store.keyBefore).toBeUndefined()
  await store.succeed(next)
  const opened = await KeyStore.open(access())
  for (const one of [store, opened])
    expect([one.authorityKey.equals(next), one.keyBefore?.equals(privateKey), one.privateKeyOf('')]).toEqual([true, true, undefined])
  await opened.dropBefore()
  for (const one of [opened, await KeyStore.open(access())])
    expect([one.authorityKey.equals(next), one.keyBefore, one.privateKeyOf('a')]).toEqual([true, undefined, 'PEM', undefined])
})

test('serials that were given before are not written again', async () => {
  const store = await KeyStore.create(access(), privateKey, 41)
  await store.takeSerials([RANDOM])
  const before = fs.readFileSync(file(), 'utf8')
  await store.takeSerials([1n, 41n, RANDOM])
  expect(fs.readFileSync(file(), 'utf8')).toBe(before)
})

test('with another password all is encrypted anew, under another salt', async () => {
  const store = await KeyStore.create(access(), privateKey, 1)
  const saltOf = () => /^salt: (.*)$/m.exec(fs.readFileSync(file(), 'utf8'))?.[1]
  const before = saltOf()
  await store.changePassword('other')
  expect(saltOf()).not.toBe(before)
  expect(await stored('other')).toEqual(NEW)
  await expect(stored()).rejects.toMatchObject({ code: 'wrong_password' })
})

test('what could not be written is not in memory either', async () => {
  const store = await KeyStore.create(access(), privateKey, 1)
  fs.rmSync(directory, { recursive: true })
  await expect(store.takeSerials([2n, RANDOM])).rejects.toThrow()
  expect(store.lastSerial).toBe(1)
  expect(store.hasGiven(RANDOM)).toBe(false)
  fs.mkdirSync(directory)
})

test('a new serial is random, has 16 digits, and is none that was given or revoked; used up, it counts as given', async () => {
  const store = await KeyStore.create(access(), privateKey, 41)
  expect([1n, 2n, 41n, 42n, RANDOM].map((serial) => store.hasGiven(serial))).toEqual([false, true, true, false, false])
  const serials = Array.from({ length: 1000 }, () => store.newSerial())
  expect(new Set(serials).size).toBe(1000)
  expect(serials.filter((serial) => !/^\d{16}$/.test(`${serial}`) || !Number.isSafeInteger(Number(serial)))).toEqual([])
  for (let bit = 0n; bit < 52n; bit++) expect(new Set(serials.map((serial) => (serial >> bit) & 1n)).size).toBe(2)
  await store.takeSerials(serials)
  for (const one of [store, await KeyStore.open(access())]) expect(serials.every((serial) => one.hasGiven(serial))).toBe(true)
  let asked = 0
  const fourth = randomSerial(() => ++asked < 4)
  expect([asked, isRandomSerial(fourth)]).toEqual([4, true])
})

test('where an earlier version counted on from a random serial, new ones are random, and not all below it count as given', async () => {
  const store = await KeyStore.create(access(), privateKey, Number.MAX_SAFE_INTEGER)
  expect([store.hasGiven(RANDOM), isRandomSerial(store.newSerial())]).toEqual([false, true])
  await store.takeSerials([RANDOM])
  expect([store.hasGiven(RANDOM), store.lastSerial]).toEqual([true, Number.MAX_SAFE_INTEGER])
})

test('a service’s key store says which file has its password', async () => {
  const renewPassword = () => Promise.reject(new Error('no terminal'))
  for (const [name, hint] of [
    ['cv_ca', path.join(directory, 'cv_ca-password')],
    ['ca', 'set KEYLIME_CA_PASSWORD'],
  ] as const) {
    const of = { directory: path.join(directory, name), renewPassword }
    fs.mkdirSync(of.directory)
    await KeyStore.create(accessWith('right', of), privateKey, 1)
    await expect(KeyStore.open(accessWith('default', of))).rejects.toMatchObject({
      code: 'wrong_password',
      hint: expect.stringContaining(hint),
    })
  }
})

describe('where the password was changed meanwhile', () => {
  const opened = async (renewPassword?: () => Promise<boolean>) => {
    await KeyStore.create(accessWith('new'), privateKey, 1)
    const access = { ...accessWith('old'), password: 'old' }
    const renew =
      renewPassword && (() => renewPassword().then((has) => (has ? Boolean(Object.assign(access, { password: 'new' })) : false)))
    return KeyStore.open(Object.assign(access, renew ? { renewPassword: renew } : {}) as CaAccess).then(
      ({ lastSerial }) => lastSerial,
      (error: Error) => (isWrongPassword(error) ? error.message : error),
    )
  }
  test.each<[string, (() => Promise<boolean>) | undefined, unknown]>([
    ['another one opens the store', async () => true, 1],
    ['without another one it stays closed', async () => false, 'the password does not open the key store'],
    ['where none can be had at all, too', undefined, 'the password does not open the key store'],
    [
      'what keeps it from being had is said',
      () => Promise.reject(new Error('x')),
      'the password does not open the key store, and there is no way to get another one',
    ],
  ])('%s', async (_what, renew, expected) => expect(await opened(renew)).toBe(expected))
  test('a store that is missing asks for no password', async () => {
    let asked = 0
    const renewPassword = async () => Boolean(++asked)
    await expect(KeyStore.open(accessWith('x', { renewPassword }))).rejects.toMatchObject({ code: 'not_found' })
    expect(asked).toBe(0)
  })
})
