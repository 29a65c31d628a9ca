import { generateKeyPairSync } from 'node:crypto'
import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import type { CaAccess } from '../../../src/authority/ca-access.ts'
import { isWrongPassword, KeyStore } from '../../../src/authority/key-store.ts'

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
  const { lastSerial, revokedSerials, crlNumber } = store
  return { lastSerial, revokedSerials, crlNumber, keys: ['a', 'b'].map((name) => store.privateKeyOf(name)) }
}
/** What another program finds on the disk. */
const stored = async (password = 'secret') => contentOf(await KeyStore.open(accessWith(password)))
const NEW = { lastSerial: 1, revokedSerials: [], crlNumber: undefined, keys: [undefined, undefined] }

test.each<[string, (store: KeyStore) => Promise<void>, object]>([
  ['a new store', async () => {}, {}],
  ['a serial with a key', (store) => store.useSerial(2, 'a', 'PEM'), { lastSerial: 2, keys: ['PEM', undefined] }],
  ['a serial without one', (store) => store.useSerial(2, 'a', undefined), { lastSerial: 2 }],
  ['a serial for a key that is where it was', (store) => store.takeSerial(3), { lastSerial: 3 }],
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
  await store.useSerial(2, 'a', 'PEM a')
  await store.useSerial(3, 'b', 'PEM b')
  await store.addRevoked(['2'], 1)
  await store.useSerial(4, 'a', undefined)
  await store.addRevoked(['3'], 2)
  await store.takeSerial(5)
  expect(await stored()).toEqual({ lastSerial: 5, revokedSerials: ['2', '3'], crlNumber: 2, keys: [undefined, 'PEM b'] })
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
  await expect(store.takeSerial(2)).rejects.toThrow()
  expect(store.lastSerial).toBe(1)
  fs.mkdirSync(directory)
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
