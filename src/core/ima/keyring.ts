import { createHash, createPublicKey, type KeyObject } from 'node:crypto'
import { parseBoundedJsonText } from '../api/bounded-json.ts'
import { KeylimeError } from '../errors.ts'
import { parseCertificate } from '../pki/certificate.ts'
import { readElement } from '../pki/der.ts'
import { supportsCurve } from './ecdsa.ts'

/** Public keys by their key id (32 bits). */
export type Keyring = ReadonlyMap<number, KeyObject>

/** As far as whoever verifies needs it. */
export interface KeyLookup {
  readonly size: number
  get(id: number): KeyObject | undefined
  keys(): Iterable<number>
}

export interface ImaKey {
  id: number
  key: KeyObject
}

const SUBJECT_KEY_ID = '2.5.29.14'
const MAX_KEYS = 1000
const KEYRING_JSON = { maxDepth: 8, maxValues: 4 * MAX_KEYS }

/**
 * Reads a measured or trusted certificate or public key, DER or PEM (policies A.11). @returns null when the bytes are no key at all,
 * `unsupported` for a key that can verify no file signature.
 */
export function readImaKey(bytes: Buffer): ImaKey | 'unsupported' | null {
  const certificate = readCertificate(bytes)
  const key = certificate?.publicKey ?? readPublicKey(bytes)
  if (!key) return null
  if (!verifiesFiles(key)) return 'unsupported'
  return { id: certificate?.keyId ?? computedKeyId(key), key }
}

/**
 * Whether a measured buffer may be a key: DER or PEM from its first byte on. A signature of a file, which begins with the type of the attribute (3, 5, 6), never is one,
 * whatever stands in it: a signed file that is shown as a buffer brings no key.
 */
export const looksLikeKey = (bytes: Buffer): boolean => bytes[0] === 0x30 || bytes.subarray(0, PEM_BEGIN.length).equals(PEM_BEGIN)
const PEM_BEGIN = Buffer.from('-----BEGIN')

function readCertificate(bytes: Buffer): { publicKey: KeyObject; keyId: number | null } | null {
  if (bytes[0] !== 0x30 && !bytes.subarray(0, 64).includes('-----BEGIN CERTIFICATE')) return null
  try {
    const certificate = parseCertificate(bytes[0] === 0x30 ? bytes : bytes.toString('latin1'))
    const extension = certificate.extensions.get(SUBJECT_KEY_ID)
    const id = extension ? readElement(extension.value).content : null
    return { publicKey: certificate.publicKey, keyId: id && id.length >= 4 ? id.readUInt32BE(id.length - 4) : null }
  } catch {
    return null // not a certificate, or one without a key that OpenSSL can read
  }
}

function readPublicKey(bytes: Buffer): KeyObject | null {
  try {
    if (bytes[0] === 0x30) return createPublicKey({ key: bytes, format: 'der', type: 'spki' })
    return bytes.subarray(0, 64).includes('-----BEGIN PUBLIC KEY') ? createPublicKey(bytes.toString('latin1')) : null
  } catch {
    return null
  }
}

/** RSA, and the curves that file signatures are made with. */
export function verifiesFiles(key: KeyObject): boolean {
  if (key.asymmetricKeyType === 'rsa') return true
  if (key.asymmetricKeyType !== 'ec') return false
  try {
    return supportsCurve(key.export({ format: 'jwk' }).crv)
  } catch {
    return false
  }
}

/** Last four bytes of the SHA-1 over the PKCS#1 key or the uncompressed point: the kernel's key id without a subject key id. */
export function computedKeyId(key: KeyObject): number {
  const encoded = key.asymmetricKeyType === 'rsa' ? key.export({ type: 'pkcs1', format: 'der' }) : point(key)
  return createHash('sha1').update(encoded).digest().readUInt32BE(16)
}

function point(key: KeyObject): Buffer {
  const { x, y } = key.export({ format: 'jwk' })
  return Buffer.concat([Buffer.from([4]), Buffer.from(x!, 'base64url'), Buffer.from(y!, 'base64url')])
}

/**
 * Parses `verification-keys` of a runtime policy: empty, or the JSON text of a keyring, which may be encoded twice (policies A.9).
 * @throws KeylimeError `invalid_request` that names the key.
 */
export function parseKeyring(text: string, where: string): Keyring {
  const keyring = new Map<number, KeyObject>()
  if (text === '') return keyring
  const bad = (at: string, what: string, cause?: unknown) => new KeylimeError('invalid_request', `${where}${at}: ${what}`, { cause })
  let json: unknown = text
  try {
    for (let i = 0; i < 2 && typeof json === 'string'; i++) json = parseBoundedJsonText(json, where, KEYRING_JSON)
  } catch (cause) {
    throw bad('', 'is not the JSON text of a keyring', cause)
  }
  if (typeof json !== 'object' || json === null) throw bad('', 'is not the JSON text of a keyring')
  const { keyids = [], pubkeys } = json as { keyids?: unknown; pubkeys?: unknown }
  if (!Array.isArray(pubkeys) || !Array.isArray(keyids)) throw bad('.pubkeys', 'must be a list of base64 DER public keys')
  if (pubkeys.length > MAX_KEYS) throw bad('.pubkeys', `has ${pubkeys.length} keys, at most ${MAX_KEYS} are accepted`)
  for (const [i, pubkey] of pubkeys.entries()) {
    const read = typeof pubkey === 'string' ? readImaKey(Buffer.from(pubkey, 'base64')) : null
    if (read === null || read === 'unsupported')
      throw bad(`.pubkeys[${i}]`, 'is not a base64 DER public key (RSA, P-256, P-384, P-521 or secp256k1)')
    const id = keyids[i] ?? 0
    if (!Number.isInteger(id) || id < 0 || id > 0xffffffff) throw bad(`.keyids[${i}]`, 'is not a number of 32 bits')
    keyring.set(id || read.id, read.key)
  }
  return keyring
}

/** The inverse of `parseKeyring`. */
export function keyringText(keyring: KeyLookup): string {
  if (keyring instanceof LazyKeys) return keyring.text()
  const keyids = [...keyring.keys()]
  return JSON.stringify({ meta: { version: 1 }, keyids, pubkeys: keyids.map((id) => base64Of(keyring.get(id)!)) })
}

/** Keys that were checked before and are text until a signature asks for them: reading one costs as much as a signature. */
export class LazyKeys implements KeyLookup {
  /** Base64 SubjectPublicKeyInfo, or what was made of it. */
  readonly #keys: Map<number, string | KeyObject>

  /** @param text of `keyringText`; empty for none. */
  constructor(text = '') {
    const { keyids, pubkeys } = text === '' ? { keyids: [], pubkeys: [] } : (JSON.parse(text) as { keyids: number[]; pubkeys: string[] })
    this.#keys = new Map(keyids.map((id, i) => [id, pubkeys[i]!]))
  }
  get size(): number {
    return this.#keys.size
  }
  get(id: number): KeyObject | undefined {
    const key = this.#keys.get(id)
    if (typeof key !== 'string') return key
    const parsed = createPublicKey({ key: Buffer.from(key, 'base64'), format: 'der', type: 'spki' })
    this.#keys.set(id, parsed)
    return parsed
  }
  keys(): Iterable<number> {
    return this.#keys.keys()
  }
  set(id: number, key: KeyObject): void {
    this.#keys.set(id, key)
  }
  /** As `keyringText`. */
  text(): string {
    const pubkeys = [...this.#keys.values()].map((key) => (typeof key === 'string' ? key : base64Of(key)))
    return JSON.stringify({ meta: { version: 1 }, keyids: [...this.#keys.keys()], pubkeys })
  }
}

const base64Of = (key: KeyObject) => key.export({ format: 'der', type: 'spki' }).toString('base64')
