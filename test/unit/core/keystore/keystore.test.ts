import { randomBytes } from 'node:crypto'
import { stringify } from 'yaml'
import { type Keystore, keystoreKey, openKeystore, RESERVED_NAMES, sealKeystore } from '../../../../src/core/keystore/keystore.ts'
import { sealPayload } from '../../../../src/core/payload/seal.ts'

const store: Keystore = {
  salt: Buffer.alloc(32, 1).toString('base64'),
  ca: '-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n',
  lastSerial: 12,
  issuedSerials: ['4503599627370497', '9007199254740991'],
  revokedKeys: ['2', '11'],
  crlNumber: 7,
  keys: new Map([
    ['d432fbb3-d2f1-4a97-9ef7-75bd81c00000', 'PEM 1'],
    ['123', 'PEM 2'],
    ['yes', 'PEM 3'],
    ['1e5', 'PEM 4'],
    ['__proto__', 'PEM 5'],
    ['constructor', 'PEM 6'],
  ]),
}

test('the key is derived from the salt’s text, as upstream does', () => {
  expect(keystoreKey('keylime', 'c2FsdA==').toString('hex')).toBe('b3c2458f483fea1d7ca0c55e1dfade3a8bee364185953aa593cf3bdc0121ea79')
})

test('what was sealed opens again, also names that YAML could take for something else', () => {
  const text = sealKeystore(store, 'secret', randomBytes(16))
  const opened = openKeystore(text, 'secret')
  expect(opened).toEqual({ ...store, keys: opened.keys })
  expect([...opened.keys].sort()).toEqual([...store.keys].sort())
})

test('the outer form is upstream’s: priv in binary, twice base64, and the salt', () => {
  const text = sealKeystore(store, 'secret', randomBytes(16))
  expect(text).toMatch(/^priv: !!binary \|/)
  expect(text).toContain(`salt: ${store.salt}`)
  expect(text).not.toContain('PRIVATE KEY')
  const once = Buffer.from(
    text
      .split('salt:')[0]!
      .replace(/^priv: !!binary \|-?/, '')
      .replace(/\s+/g, ''),
    'base64',
  ).toString('latin1')
  expect(once).toMatch(/^[A-Za-z0-9+/]+=*$/)
})

test('keys are bytes: also what is no ASCII stays as it is', () => {
  const text = sealKeystore({ ...store, ca: 'K\xfcy', keys: new Map([['web', '\xff\x80']]) }, 'secret', randomBytes(16))
  expect(openKeystore(text, 'secret')).toMatchObject({ ca: 'K\xfcy', keys: new Map([['web', '\xff\x80']]) })
})

test('a file in the layout that Python writes opens', () => {
  const inner = `ca: !!binary |\n  ${Buffer.from('PEM').toString('base64')}\nlastserial: 3\nrevoked_keys:\n- '2'\nweb: !!binary |\n  ${Buffer.from('KEY').toString('base64')}\n`
  const sealed = sealPayload(keystoreKey('pw', 'c2FsdA=='), Buffer.alloc(16, 7), Buffer.from(inner))
  const wrapped = (
    Buffer.from(sealed)
      .toString('base64')
      .match(/.{1,76}/g) ?? []
  )
    .map((line) => `  ${line}`)
    .join('\n')
  const opened = openKeystore(`priv: !!binary |\n${wrapped}\nsalt: c2FsdA==\n`, 'pw')
  expect(opened).toMatchObject({ ca: 'PEM', lastSerial: 3, revokedKeys: ['2'] })
  expect(opened.keys.get('web')).toBe('KEY')
})

test('a wrong password and changed bytes are told as such', () => {
  const text = sealKeystore(store, 'secret', randomBytes(16))
  expect(() => openKeystore(text, 'other')).toThrow(expect.objectContaining({ code: 'wrong_password' }))
  expect(() => openKeystore(text.replace(store.salt, Buffer.alloc(32, 2).toString('base64')), 'secret')).toThrow(
    expect.objectContaining({ code: 'wrong_password' }),
  )
})

test.each([
  ['no YAML', '{', 'the key store is not valid YAML'],
  ['a list', '- 1', 'the key store is not a YAML mapping'],
  ['no salt', 'priv: !!binary AAAA', 'the key store has no salt or no priv'],
  ['a number for a salt', 'priv: !!binary AAAA\nsalt: 7', 'the key store has no salt or no priv'],
  ['no priv', 'salt: x', 'the key store has no salt or no priv'],
  ['a text for priv', 'priv: AAAA\nsalt: x', 'the key store has no salt or no priv'],
  ['nothing', '', 'the key store is not a YAML mapping'],
  ['an alias, which may grow without end', 'a: &a x\nsalt: *a', 'the key store is not valid YAML'],
  ['an alias of nothing', 'a: &a []\nsalt: *a', 'the key store is not valid YAML'],
  ['more than 64 MiB', `${' '.repeat(64 << 20)}#`, 'the key store is too large'],
])('refuses a key store with %s', (_, text, message) => {
  expect(() => openKeystore(text, 'x')).toThrow(expect.objectContaining({ code: 'malformed', message }))
})

const storeOf = (content: object) => {
  const inner = stringify(content, { version: '1.1', schema: 'yaml-1.1' })
  const sealed = sealPayload(keystoreKey('pw', 's'), Buffer.alloc(16), Buffer.from(inner))
  return stringify({ priv: Buffer.from(sealed), salt: 's' }, { version: '1.1', schema: 'yaml-1.1' })
}
test.each([
  ['no key of the authority', { lastserial: 1 }, 'the key store holds no key of the authority'],
  ['a text for its key', { ca: 'x', lastserial: 1 }, 'the key store holds no key of the authority'],
  ['no serial', { ca: Buffer.from('x') }, 'the key store holds no last serial number'],
  ['half a serial', { ca: Buffer.from('x'), lastserial: 1.5 }, 'the key store holds no last serial number'],
])('refuses a content with %s', (_, content, message) => {
  expect(() => openKeystore(storeOf(content), 'pw')).toThrow(expect.objectContaining({ code: 'malformed', message }))
})

test('what a store does not say, or says in a way that makes no sense, is not there', () => {
  const bare = { ca: Buffer.from('x'), lastserial: 1 }
  const nothing = { salt: 's', ca: 'x', lastSerial: 1, issuedSerials: [], revokedKeys: [], crlNumber: undefined, keys: new Map() }
  expect(openKeystore(storeOf(bare), 'pw')).toEqual(nothing)
  expect(openKeystore(storeOf({ ...bare, revoked_keys: 'x', crl_number: 1.5, issued_serials: 7, web: 'no key' }), 'pw')).toEqual(nothing)
  expect(openKeystore(storeOf({ ...bare, revoked_keys: [2, '3'] }), 'pw').revokedKeys).toEqual(['2', '3'])
})

test('the names of what else is in a store are taken', () => {
  expect(RESERVED_NAMES).toEqual(['ca', 'lastserial', 'revoked_keys', 'crl_number', 'issued_serials'])
})

test('nothing that is in a key store is shown, whatever it is', async () => {
  const warnings: string[] = []
  const take = (warning: Error) => warnings.push(warning.message)
  process.on('warning', take)
  expect(() => openKeystore('priv: !secret abc\nsalt: x', 'pw')).toThrow('has no salt or no priv')
  await new Promise(setImmediate)
  process.off('warning', take)
  expect(warnings).toEqual([])
})
