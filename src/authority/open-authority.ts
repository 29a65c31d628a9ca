import { createHash, createPublicKey, type KeyObject, randomBytes } from 'node:crypto'
import fs from 'node:fs/promises'
import path from 'node:path'
import { isKeylimeError, KeylimeError } from '../core/errors.ts'
import type { CaSettings } from '../core/pki/ca-settings.ts'
import { parseCertificate, toPem } from '../core/pki/certificate.ts'
import { makeCrl, parseCrl, type Revocation, type RevocationReason } from '../core/pki/crl.ts'
import { type Authority, type HostName, issueCertificate, makeAuthority } from '../core/pki/issue.ts'
import { makeKeyPair, privateKeyPem, publicKeyPem, readPrivateKey, sameKey } from '../core/pki/keys.ts'
import { type Keystore, openKeystore, RESERVED_NAMES, sealKeystore } from '../core/pki/keystore.ts'
import { upstreamSubject } from '../core/pki/names.ts'
import type { Certificate } from '../core/pki/types.ts'
import { writeFileAtomic } from '../io/files/atomic-file.ts'
import { withFileLock } from '../io/files/file-lock.ts'

/** How to open a CA directory. */
export interface CaAccess {
  readonly directory: string
  readonly password: string
  readonly settings: CaSettings
  /** Asked when `password` opens the key store no longer. True when `password` is another one since. */
  renewPassword?(): Promise<boolean>
  /** Milliseconds since the epoch. */
  now(): number
}

export interface Issued {
  readonly certificate: Certificate
  /** Undefined when the key stayed with its owner (made from a signing request). */
  readonly privateKeyPem: string | undefined
}

export interface IssueRequest {
  readonly name: string
  readonly alternativeNames?: readonly HostName[]
  readonly days?: number
  /** Key of the owner, who keeps the private one. */
  readonly publicKey?: KeyObject
  /** Encrypts the key file (not the copy in the key store). */
  readonly keyPassword?: string
}

const DAY_MS = 86_400_000
const BACKDATE_MS = 60_000
const LOCK = '.lock'

export const isCaDirectory = async (directory: string): Promise<boolean> =>
  fs.access(path.join(directory, 'cacert.crt')).then(
    () => true,
    () => false,
  )

/** An authority of this directory, open and locked for as long as `work` runs: two programs at once lose no serial and no revocation. */
export async function withAuthority<T>(access: CaAccess, work: (authority: OpenAuthority) => Promise<T>): Promise<T> {
  if (!(await isCaDirectory(access.directory))) {
    throw new KeylimeError('not_found', `${access.directory} holds no certificate authority`, {
      hint: `make one with \`keylime ca init -d ${access.directory}\``,
    })
  }
  return withFileLock(path.join(access.directory, LOCK), async () => work(await OpenAuthority.open(access)))
}

/** Makes a new authority. What an earlier one left in the directory is deleted first, as upstream does. */
export async function initCaDirectory(access: CaAccess): Promise<Certificate> {
  await fs.mkdir(access.directory, { recursive: true, mode: 0o700 })
  return withFileLock(path.join(access.directory, LOCK), () => init(access))
}

async function init(access: CaAccess): Promise<Certificate> {
  const { directory, settings, password } = access
  const now = access.now()
  const keys = await makeKeyPair(settings.keyKind)
  const certificate = await makeAuthority({
    subject: upstreamSubject(settings.caName, settings.subject),
    ...keys,
    serial: 1n,
    notBefore: now - BACKDATE_MS,
    notAfter: now + settings.caLifetimeDays * DAY_MS,
    crlUrl: settings.crlUrl,
  })
  for (const name of await fs.readdir(directory)) {
    if (/\.(pem|crt|zip|der)$/.test(name) || name === 'private.yml') await fs.rm(path.join(directory, name))
  }
  const store: Keystore = {
    salt: randomBytes(32).toString('base64'),
    ca: privateKeyPem(keys.privateKey),
    lastSerial: 1,
    revokedKeys: [],
    keys: new Map(),
  }
  await writeFileAtomic(path.join(directory, 'private.yml'), sealKeystore(store, password, randomBytes(16)), 0o600)
  await writeFileAtomic(path.join(directory, 'ca-public.pem'), publicKeyPem(keys.publicKey), 0o640)
  const authority = new OpenAuthority(access, certificate, keys.privateKey, store)
  await authority.publishCrl()
  await writeFileAtomic(path.join(directory, 'cacert.crt'), certificate.pem, 0o640) // last: with it the directory counts as made
  return certificate
}

/** Starts a key store for a key that was made elsewhere. @throws KeylimeError `refused` when `cacert.crt` is not the certificate of that key. */
export async function importAuthorityKey(access: CaAccess, key: KeyObject, lastSerial: number): Promise<void> {
  const certificate = parseCertificate(await readText(path.join(access.directory, 'cacert.crt')))
  if (!sameKey(createPublicKey(key), certificate.publicKey)) {
    throw new KeylimeError('refused', `the key is not that of ${path.join(access.directory, 'cacert.crt')}`)
  }
  await withFileLock(path.join(access.directory, LOCK), async () => {
    const store: Keystore = {
      salt: randomBytes(32).toString('base64'),
      ca: privateKeyPem(key),
      lastSerial,
      revokedKeys: [],
      keys: new Map(),
    }
    await writeFileAtomic(path.join(access.directory, 'private.yml'), sealKeystore(store, access.password, randomBytes(16)), 0o600)
    await new OpenAuthority(access, certificate, key, store).publishCrl()
  })
}

/** The operations of an authority. Only `withAuthority` makes one, because each needs the lock. */
export class OpenAuthority {
  readonly certificate: Certificate
  readonly #access: CaAccess
  readonly #key: KeyObject
  #store: Keystore

  constructor(access: CaAccess, certificate: Certificate, key: KeyObject, store: Keystore) {
    this.#access = access
    this.certificate = certificate
    this.#key = key
    this.#store = store
  }

  static async open(access: CaAccess): Promise<OpenAuthority> {
    const store = await unlock(access)
    const certificate = parseCertificate(await readText(path.join(access.directory, 'cacert.crt')))
    return new OpenAuthority(access, certificate, readPrivateKey(store.ca), store)
  }

  /** Serials that were revoked, decimal. */
  get revokedSerials(): readonly string[] {
    return this.#store.revokedKeys
  }

  /** The private key of an issued certificate, unencrypted, when this authority made it. */
  privateKeyOf(name: string): string | undefined {
    return this.#store.keys.get(name)
  }

  /** Issues a certificate. The serial is used up before anything is written, so none is ever given twice. */
  async issue(request: IssueRequest, keys = request.publicKey ? undefined : makeKeyPair(this.#access.settings.keyKind)): Promise<Issued> {
    checkName(request.name)
    const { settings, directory } = this.#access
    const pair = await keys
    const publicKey = request.publicKey ?? pair?.publicKey
    if (!publicKey) throw new TypeError('unreachable: neither a public key nor a key pair')
    const pem = pair ? privateKeyPem(pair.privateKey) : undefined
    const serial = this.#store.lastSerial + 1
    const now = this.#access.now()
    const certificate = await issueCertificate(
      { certificate: this.certificate, key: this.#key },
      {
        subject: upstreamSubject(request.name, settings.subject),
        publicKey,
        serial: BigInt(serial),
        notBefore: now - BACKDATE_MS,
        notAfter: now + (request.days ?? settings.lifetimeDays) * DAY_MS,
        alternativeNames: request.alternativeNames?.length ? request.alternativeNames : [{ type: 'dns', value: request.name }],
        crlUrl: settings.crlUrl,
      },
    )
    const stored = new Map(this.#store.keys)
    if (pem) stored.set(request.name, pem)
    else stored.delete(request.name)
    await this.#save({ ...this.#store, lastSerial: serial, keys: stored })
    const file = (suffix: string) => path.join(directory, `${request.name}-${suffix}`)
    await fs.rm(file('cert.crt'), { force: true })
    if (pair) await writeFileAtomic(file('private.pem'), privateKeyPem(pair.privateKey, request.keyPassword), 0o600)
    else await fs.rm(file('private.pem'), { force: true })
    await writeFileAtomic(file('public.pem'), publicKeyPem(publicKey), 0o640)
    await writeFileAtomic(file('cert.crt'), certificate.pem, 0o640)
    return { certificate, privateKeyPem: pem }
  }

  /** What a reader of the directory needs to know. */
  snapshot(): { authority: Authority; lastSerial: number; revokedSerials: readonly string[] } {
    const { lastSerial, revokedKeys } = this.#store
    return { authority: { certificate: this.certificate, key: this.#key }, lastSerial, revokedSerials: revokedKeys }
  }

  /** Encrypts the key store with another password and a new salt. */
  async changePassword(password: string): Promise<void> {
    await this.#save({ ...this.#store, salt: randomBytes(32).toString('base64') }, password)
  }

  /** Revokes a serial for ever and publishes the list. @returns false when it was revoked before. */
  async revoke(serial: bigint, reason: RevocationReason = 'unspecified'): Promise<boolean> {
    return (await this.revokeAll([serial], reason)).length > 0
  }

  /** Revokes serials with one write and one list. @returns those that were not revoked before. @throws KeylimeError `not_found` for one never issued. */
  async revokeAll(serials: readonly bigint[], reason: RevocationReason = 'unspecified'): Promise<bigint[]> {
    for (const serial of serials) {
      if (serial > 1n && serial <= BigInt(this.#store.lastSerial)) continue
      throw new KeylimeError('not_found', `this authority has issued no certificate with serial ${serial}`, {
        hint: '`keylime ca list` shows them',
      })
    }
    const fresh = [...new Set(serials)].filter((serial) => !this.#store.revokedKeys.includes(serial.toString()))
    const texts = fresh.map(String)
    if (fresh.length > 0) await this.#save({ ...this.#store, revokedKeys: [...this.#store.revokedKeys, ...texts] })
    await this.publishCrl(new Map(texts.map((text) => [text, reason])))
    return fresh
  }

  /** Writes a new revocation list with the next number; dates and reasons of earlier revocations are kept. */
  async publishCrl(reasons: ReadonlyMap<string, RevocationReason> = new Map()): Promise<Buffer> {
    const { directory, settings } = this.#access
    const last = await readCrl(directory)
    const known = new Map(last?.revoked.map((entry) => [entry.serial.toString(), entry]))
    const now = this.#access.now()
    const revoked = this.#store.revokedKeys.map((serial): Revocation => {
      const reason = reasons.get(serial)
      return known.get(serial) ?? { serial: BigInt(serial), date: now, ...(reason ? { reason } : {}) }
    })
    const der = await makeCrl(
      { certificate: this.certificate, key: this.#key },
      { number: (last?.number ?? 0n) + 1n, thisUpdate: now, nextUpdate: now + settings.crlLifetimeDays * DAY_MS, revoked },
    )
    await writeFileAtomic(path.join(directory, 'cacrl.der'), der, 0o644)
    await writeFileAtomic(path.join(directory, 'cacrl.pem'), toPem(der, 'X509 CRL'), 0o644)
    return der
  }

  async #save(store: Keystore, password = this.#access.password): Promise<void> {
    await writeFileAtomic(path.join(this.#access.directory, 'private.yml'), sealKeystore(store, password, randomBytes(16)), 0o600)
    this.#store = store
  }
}

/** The password that was good at the start may have been changed meanwhile. */
async function unlock(access: CaAccess): Promise<Keystore> {
  const read = async () => openKeystore(await readText(path.join(access.directory, 'private.yml')), access.password)
  try {
    return await read()
  } catch (error) {
    if (!isWrongPassword(error) || !(await hasAnother(access))) throw error
    return read()
  }
}

async function hasAnother({ renewPassword }: CaAccess): Promise<boolean | undefined> {
  return renewPassword?.().catch((cause) => {
    throw new KeylimeError('wrong_password', 'the password does not open the key store, and another one cannot be had', { cause })
  })
}

export const isWrongPassword = (error: unknown): boolean => isKeylimeError(error) && error.code === 'wrong_password'

/** The published revocation list, or undefined when there is none or an unreadable one. */
export async function readCrl(directory: string): Promise<ReturnType<typeof parseCrl> | undefined> {
  try {
    return parseCrl(await fs.readFile(path.join(directory, 'cacrl.der')))
  } catch {
    return undefined
  }
}

/** Names become file names and keys of the key store. */
function checkName(name: string): void {
  if (!/^[\w.@:+-][\w .@:+-]{0,99}$/.test(name) || name.startsWith('.') || RESERVED_NAMES.includes(name)) {
    throw new KeylimeError('invalid_request', `"${name}" cannot be the name of a certificate`, {
      hint: 'use letters, digits and _ . @ : + -, at most 100',
    })
  }
}

async function readText(file: string): Promise<string> {
  return fs.readFile(file, 'utf8').catch((cause: NodeJS.ErrnoException) => {
    throw new KeylimeError(cause.code === 'ENOENT' ? 'not_found' : 'file_failed', `cannot read ${file}: ${cause.message}`, { cause })
  })
}

/** SHA-256 of a certificate, hex: what `keylime ca show` prints. */
export const fingerprint = (certificate: Certificate): string => createHash('sha256').update(certificate.der).digest('hex')
