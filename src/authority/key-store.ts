import { type KeyObject, randomBytes } from 'node:crypto'
import path from 'node:path'
import { isKeylimeError, KeylimeError } from '../core/errors.ts'
import { type KeyDerivation, type Keystore, keystoreKey, openKeystore, sealKeystore } from '../core/keystore/keystore.ts'
import { privateKeyPem, readPrivateKey } from '../core/pki/keys.ts'
import { writeFileAtomic } from '../io/files/atomic-file.ts'
import { readText } from '../io/files/read-file.ts'
import type { CaAccess } from './ca-access.ts'
import { isCountedSerial, randomSerial } from './serials.ts'
import { passwordHint } from './service-password.ts'

/**
 * The key store of an authority (`private.yml`): its key, the serials that were given, what was revoked, and the keys of certificates that it made. A change is on
 * the disk when its method returns, and not in here when it could not be written.
 */
export class KeyStore {
  readonly #access: CaAccess
  readonly #derive: KeyDerivation
  #content: Keystore
  /** Its `issuedSerials`. */
  #given: ReadonlySet<string>

  private constructor(access: CaAccess, content: Keystore, derive: KeyDerivation) {
    this.#access = access
    this.#content = content
    this.#given = new Set(content.issuedSerials)
    this.#derive = derive
  }

  /** @throws KeylimeError `wrong_password`, `malformed`, `not_found` or `file_failed`. */
  static async open(access: CaAccess): Promise<KeyStore> {
    const derive = derivedOnce()
    return new KeyStore(access, await unlock(access, derive), derive)
  }

  /** A new one, in place of any other. @param lastSerial the last one that was counted with this key. */
  static async create(access: CaAccess, key: KeyObject, lastSerial: number): Promise<KeyStore> {
    const content = { salt: newSalt(), ca: privateKeyPem(key), lastSerial, issuedSerials: [], revokedKeys: [], keys: new Map() }
    const store = new KeyStore(access, content, derivedOnce())
    await store.#save(content)
    return store
  }

  /** The authority's own key. */
  get authorityKey(): KeyObject {
    return readPrivateKey(this.#content.ca)
  }

  /** Of the authority before, while two of them count. */
  get keyBefore(): KeyObject | undefined {
    const pem = this.#content.keys.get(BEFORE)
    return pem === undefined ? undefined : readPrivateKey(pem)
  }

  /** Another key signs from now on; the one before is kept. */
  async succeed(key: KeyObject): Promise<void> {
    const keys = new Map(this.#content.keys).set(BEFORE, this.#content.ca)
    await this.#save({ ...this.#content, ca: privateKeyPem(key), keys })
  }

  /** The key of the authority before is gone for ever. */
  async dropBefore(): Promise<void> {
    const keys = new Map(this.#content.keys)
    keys.delete(BEFORE)
    await this.#save({ ...this.#content, keys })
  }

  /** The last one that was counted: random ones are not below it. */
  get lastSerial(): number {
    return this.#content.lastSerial
  }

  /** Decimal, those that were not counted, in the order in which they were given. */
  get issuedSerials(): readonly string[] {
    return this.#content.issuedSerials
  }

  /** Whether this copy of the authority is known to have given it; its own first one is not among them. */
  hasGiven(serial: bigint): boolean {
    return (serial > 1n && isCountedSerial(serial) && serial <= BigInt(this.lastSerial)) || this.#given.has(serial.toString())
  }

  /** One that was neither given nor revoked. It counts as given only when it is used up. */
  newSerial(): bigint {
    return randomSerial((serial) => this.hasGiven(serial) || this.revokedSerials.includes(serial.toString()))
  }

  /** Decimal, in the order of revocation. */
  get revokedSerials(): readonly string[] {
    return this.#content.revokedKeys
  }

  /** Of the last revocation list; undefined in stores of others. */
  get crlNumber(): number | undefined {
    return this.#content.crlNumber
  }

  /** The private key of an issued certificate, unencrypted PEM, when this authority made it. */
  privateKeyOf(name: string): string | undefined {
    return this.#content.keys.get(name)
  }

  /** Uses a serial up, so that it is never given twice. @param key PEM of the key that belongs to `name`; undefined when its owner keeps it. */
  async useSerial(serial: bigint, name: string, key: string | undefined): Promise<void> {
    const keys = new Map(this.#content.keys)
    if (key) keys.set(name, key)
    else keys.delete(name)
    await this.#save({ ...this.#content, ...this.#with([serial]), keys })
  }

  /** Uses serials up for certificates whose keys are where they were. Those that were given before stay as they are. */
  async takeSerials(serials: readonly bigint[]): Promise<void> {
    const fresh = serials.filter((serial) => serial > 1n && !this.hasGiven(serial))
    if (fresh.length > 0) await this.#save({ ...this.#content, ...this.#with(fresh) })
  }

  #with(serials: readonly bigint[]): Pick<Keystore, 'lastSerial' | 'issuedSerials'> {
    const counted = serials.filter(isCountedSerial).map(Number)
    const others = serials.filter((serial) => !isCountedSerial(serial)).map(String)
    return { lastSerial: Math.max(this.lastSerial, ...counted), issuedSerials: [...this.issuedSerials, ...others] }
  }

  /** Revokes, and uses the number up of the list that will say so: none is ever given twice. */
  async addRevoked(serials: readonly string[], crlNumber: number): Promise<void> {
    await this.#save({ ...this.#content, revokedKeys: [...this.#content.revokedKeys, ...serials], crlNumber })
  }

  /** Encrypts all of it with another password and a new salt. */
  async changePassword(password: string): Promise<void> {
    await this.#save({ ...this.#content, salt: newSalt() }, password)
  }

  async #save(content: Keystore, password = this.#access.password): Promise<void> {
    await writeFileAtomic(fileOf(this.#access), sealKeystore(content, password, randomBytes(16), this.#derive), 0o600)
    this.#content = content
    this.#given = new Set(content.issuedSerials)
  }
}

/** No certificate can have this name: none begins with a dot. */
const BEFORE = '.before'

const newSalt = () => randomBytes(32).toString('base64')

const fileOf = ({ directory }: CaAccess) => path.join(directory, 'private.yml')

export const isWrongPassword = (error: unknown): boolean => isKeylimeError(error) && error.code === 'wrong_password'

/** The password that was good at the start may have been changed meanwhile. */
async function unlock(access: CaAccess, derive: KeyDerivation): Promise<Keystore> {
  const read = async () => openKeystore(await readText(fileOf(access), { isSecret: true }), access.password, derive)
  try {
    return await read()
  } catch (error) {
    if (!isWrongPassword(error) || !(await hasAnother(access))) throw error
    return read()
  }
}

/** Of a store that is open each change would derive the same key again. */
function derivedOnce(): KeyDerivation {
  let last: { password: string; salt: string; key: Buffer } | undefined
  return (password, salt) => {
    if (last?.password !== password || last.salt !== salt) last = { password, salt, key: keystoreKey(password, salt) }
    return last.key
  }
}

async function hasAnother({ directory, renewPassword }: CaAccess): Promise<boolean | undefined> {
  return renewPassword?.().catch((cause) => {
    throw new KeylimeError('wrong_password', 'the password does not open the key store, and there is no way to get another one', {
      cause,
      hint: passwordHint(directory),
    })
  })
}
