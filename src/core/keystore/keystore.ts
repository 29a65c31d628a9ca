import { pbkdf2Sync } from 'node:crypto'
import { parse, stringify } from 'yaml'
import { KeylimeError } from '../errors.ts'
import { openPayload, sealPayload } from '../payload/seal.ts'

/** What the CA keeps secret: `private.yml` in upstream's form (protocol 7.3). */
export interface Keystore {
  /** Base64 text of 32 random bytes; made once, then kept. Its text is what goes into the key derivation. */
  readonly salt: string
  /** PKCS#8 PEM of the CA's private key. */
  readonly ca: string
  /** The last one that was counted: upstream goes on from it. */
  readonly lastSerial: number
  /** Decimal serials that were given at random, in the order in which they were given. Ours: upstream keeps what it does not know. Empty in stores of others. */
  readonly issuedSerials: readonly string[]
  /** Decimal serials, in the order of revocation. */
  readonly revokedKeys: readonly string[]
  /** Number of the last revocation list, so that it never falls. Ours: upstream keeps what it does not know. Undefined in stores of others. */
  readonly crlNumber?: number | undefined
  /** Private keys of issued certificates by name, PEM. */
  readonly keys: ReadonlyMap<string, string>
}

const ROUNDS = 100_000
const KEY_SIZE = 32
const MAX_SIZE = 64 * 1024 * 1024

/** PBKDF2-HMAC-SHA-256; the salt is the base64 text itself, not what it encodes. */
export function keystoreKey(password: string, salt: string): Buffer {
  return pbkdf2Sync(Buffer.from(password, 'utf8'), Buffer.from(salt, 'utf8'), ROUNDS, KEY_SIZE, 'sha256')
}

/** `keystoreKey`, or one that remembers what it has derived: that takes long on purpose. */
export type KeyDerivation = typeof keystoreKey

/** Opens a key store, made here or by upstream. @throws KeylimeError `wrong_password` or `malformed`. */
export function openKeystore(text: string, password: string, derive: KeyDerivation = keystoreKey): Keystore {
  const outer = readYaml(text, 'the key store')
  const [salt, priv] = [outer.get('salt'), outer.get('priv')]
  if (typeof salt !== 'string' || !(priv instanceof Uint8Array)) throw new KeylimeError('malformed', 'the key store has no salt or no priv')
  return readContent(
    readYaml(
      decrypt(Buffer.from(priv).toString('latin1'), () => derive(password, salt)),
      'the content of the key store',
    ),
    salt,
  )
}

/** @param iv 16 bytes, fresh for each call. */
export function sealKeystore(store: Keystore, password: string, iv: Uint8Array, derive: KeyDerivation = keystoreKey): string {
  const content = new Map<string, unknown>([
    ['ca', Buffer.from(store.ca, 'latin1')],
    ['lastserial', store.lastSerial],
    ['revoked_keys', [...store.revokedKeys]],
    ...(store.issuedSerials.length === 0 ? [] : [[ISSUED_SERIALS, [...store.issuedSerials]] as const]),
    ...(store.crlNumber === undefined ? [] : [[CRL_NUMBER, store.crlNumber] as const]),
  ])
  for (const [name, pem] of store.keys) content.set(name, Buffer.from(pem, 'latin1'))
  const sealed = sealPayload(derive(password, store.salt), iv, Buffer.from(writeYaml(content), 'utf8'))
  return writeYaml(
    new Map<string, unknown>([
      ['priv', Buffer.from(sealed, 'latin1')],
      ['salt', store.salt],
    ]),
  )
}

/** Names that mean something else in the key store and so cannot be names of certificates. */
const CRL_NUMBER = 'crl_number'
const ISSUED_SERIALS = 'issued_serials'
export const RESERVED_NAMES: readonly string[] = ['ca', 'lastserial', 'revoked_keys', CRL_NUMBER, ISSUED_SERIALS]

function decrypt(sealed: string, key: () => Buffer): string {
  try {
    return openPayload(key(), sealed).toString('utf8')
  } catch (cause) {
    throw new KeylimeError('wrong_password', 'the password does not open the key store', {
      cause,
      hint: 'set KEYLIME_CA_PASSWORD, or give --password-file',
    })
  }
}

function readContent(content: ReadonlyMap<string, unknown>, salt: string): Keystore {
  const [ca, lastSerial, revoked, crlNumber, issued] = RESERVED_NAMES.map((name) => content.get(name))
  if (!(ca instanceof Uint8Array)) throw new KeylimeError('malformed', 'the key store holds no key of the authority')
  if (!Number.isSafeInteger(lastSerial)) throw new KeylimeError('malformed', 'the key store holds no last serial number')
  const keys = [...content].filter((entry): entry is [string, Uint8Array] => entry[0] !== 'ca' && entry[1] instanceof Uint8Array)
  return {
    salt,
    ca: Buffer.from(ca).toString('latin1'),
    lastSerial: lastSerial as number,
    issuedSerials: Array.isArray(issued) ? issued.map(String) : [],
    revokedKeys: Array.isArray(revoked) ? revoked.map(String) : [],
    crlNumber: Number.isSafeInteger(crlNumber) ? (crlNumber as number) : undefined,
    keys: new Map(keys.map(([name, pem]) => [String(name), Buffer.from(pem).toString('latin1')])),
  }
}

/** As a Map: names of certificates are keys, and a certificate may be named `__proto__`. */
function readYaml(text: string, what: string): ReadonlyMap<string, unknown> {
  if (text.length > MAX_SIZE) throw new KeylimeError('malformed', `${what} is too large`)
  let value: unknown
  try {
    value = parse(text, { version: '1.1', schema: 'yaml-1.1', maxAliasCount: 0, mapAsMap: true, logLevel: 'error' }) // a warning would show lines of it
  } catch (cause) {
    throw new KeylimeError('malformed', `${what} is not valid YAML`, { cause })
  }
  if (!(value instanceof Map)) throw new KeylimeError('malformed', `${what} is not a YAML mapping`)
  return value as ReadonlyMap<string, unknown>
}

/** `fromEntries` makes each a member of its own, also one named `__proto__`; a Map would become an ordered list, which upstream cannot read. */
const writeYaml = (value: Iterable<readonly [string, unknown]>) =>
  stringify(Object.fromEntries(value), { version: '1.1', schema: 'yaml-1.1', aliasDuplicateObjects: false })
