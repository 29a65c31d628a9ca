import fs from 'node:fs/promises'
import path from 'node:path'
import { KeylimeError } from '../core/errors.ts'
import { makePackage } from '../core/payload/certificate-package.ts'
import { parseCertificate } from '../core/pki/certificate.ts'
import type { RevocationReason } from '../core/pki/crl.ts'
import { parseSigningRequest } from '../core/pki/csr.ts'
import { type HostName, hostName } from '../core/pki/issue.ts'
import { readPrivateKey } from '../core/pki/keys.ts'
import { attributeOf } from '../core/pki/names.ts'
import { alternativeNames } from '../core/pki/subject-alternative-names.ts'
import type { Certificate } from '../core/pki/types.ts'
import { writeFileAtomic } from '../io/files/atomic-file.ts'
import { type CaAccess, type Issued, importAuthorityKey, initCaDirectory, isCaDirectory, readCrl, withAuthority } from './ca-directory.ts'

/** A certificate of the authority as `list` and `show` present it. */
export interface CertificateState {
  readonly name: string
  readonly certificate: Certificate
  readonly state: 'valid' | 'expired' | 'revoked'
  readonly revocation: { readonly date: number; readonly reason: RevocationReason | undefined } | undefined
}

export interface CreateRequest {
  readonly name: string
  readonly alternativeNames: readonly string[]
  readonly days: number | undefined
  /** File with a signing request: the key stays with its owner. */
  readonly csr: string | undefined
  /** Issue again although there is a certificate of that name. */
  readonly replace: boolean
}

const CERTIFICATE_FILE = /^(.+)-cert\.crt$/

/** Makes a new authority. @throws KeylimeError `already_exists` unless `replace`, because everything that the old one issued becomes worthless. */
export async function initAuthority(access: CaAccess, replace: boolean): Promise<Certificate> {
  if (!replace && (await isCaDirectory(access.directory))) {
    throw new KeylimeError('already_exists', `${access.directory} holds an authority already`, {
      hint: 'choose another directory with -d, or add --yes to destroy it and everything that it has issued',
    })
  }
  return initCaDirectory(access)
}

/** Issues a certificate for a name. */
export async function createCertificate(access: CaAccess, request: CreateRequest): Promise<Issued> {
  const existing = path.join(access.directory, `${request.name}-cert.crt`)
  if (!request.replace && (await exists(existing))) {
    throw new KeylimeError('already_exists', `there is a certificate for ${request.name} already`, {
      hint: `revoke it first (\`keylime ca revoke -n ${request.name}\`), or add --replace to leave it valid and issue another`,
    })
  }
  const signing = request.csr ? parseSigningRequest(await readFile(request.csr)) : undefined
  const asked = signing?.alternativeNames.filter((name): name is HostName => name.type === 'dns' || name.type === 'ip') ?? []
  const names = request.alternativeNames.length > 0 ? request.alternativeNames.map(hostName) : asked
  return withAuthority(access, (authority) =>
    authority.issue({
      name: request.name,
      alternativeNames: names,
      ...(request.days === undefined ? {} : { days: request.days }),
      ...(signing ? { publicKey: signing.publicKey } : {}),
    }),
  )
}

/** Writes `<name>-pkg.zip`: certificate, keys, authority and revocation list (protocol 3.2.2). @returns the file. */
export async function packageCertificate(access: CaAccess, name: string, unprotected: boolean): Promise<string> {
  const { directory } = access
  const read = (file: string) => readFile(path.join(directory, file))
  const key = unprotected ? await withAuthority(access, async (authority) => authority.privateKeyOf(name)) : undefined
  const entries = [
    { name: `${name}-public.pem`, data: await read(`${name}-public.pem`) },
    { name: `${name}-cert.crt`, data: await read(`${name}-cert.crt`) },
    { name: `${name}-private.pem`, data: key === undefined ? await read(`${name}-private.pem`) : Buffer.from(key) },
    { name: 'cacert.crt', data: await read('cacert.crt') },
    { name: 'cacrl.der', data: await read('cacrl.der') },
    { name: 'cacrl.pem', data: await read('cacrl.pem') },
  ]
  const file = path.join(directory, `${name}-pkg.zip`)
  await writeFileAtomic(file, await makePackage(entries, access.now()), 0o600)
  return file
}

/** Revokes by name or by serial. @returns the serial, and whether it was new. */
export async function revokeCertificate(
  access: CaAccess,
  which: { name: string } | { serial: bigint },
  reason: RevocationReason,
): Promise<{ serial: bigint; isNew: boolean }> {
  const serial = 'serial' in which ? which.serial : (await readCertificate(access.directory, which.name)).serial
  return withAuthority(access, async (authority) => ({ serial, isNew: await authority.revoke(serial, reason) }))
}

/** Issues the revocation list anew. @returns when the next one is due, milliseconds since the epoch. */
export async function publishCrl(access: CaAccess): Promise<number> {
  await withAuthority(access, (authority) => authority.publishCrl())
  return (await readCrl(access.directory))?.nextUpdate ?? access.now()
}

/** Takes over the key of an authority whose certificate is already in the directory. */
export async function importKey(access: CaAccess, file: string, lastSerial: number): Promise<void> {
  await importAuthorityKey(access, readPrivateKey((await readFile(file)).toString('utf8')), lastSerial)
}

/** Encrypts the key store with another password. The old one is checked before the new one is asked for. */
export async function changePassword(access: CaAccess, newPassword: () => Promise<string>): Promise<void> {
  await withAuthority(access, async () => undefined)
  const password = await newPassword() // without the lock: a person is typing
  await withAuthority(access, (authority) => authority.changePassword(password))
}

/** All certificates in the directory; needs no password. Certificates that were replaced by another of their name are not in it. */
export async function listCertificates(directory: string, now: number): Promise<CertificateState[]> {
  await requireAuthority(directory)
  const names = (await fs.readdir(directory)).map((file) => CERTIFICATE_FILE.exec(file)?.[1]).filter((name) => name !== undefined)
  const states = await Promise.all(names.map((name) => showCertificate(directory, name, now)))
  return states.sort((a, b) => Number(a.certificate.serial - b.certificate.serial))
}

/** One certificate with its state; needs no password. */
export async function showCertificate(directory: string, name: string, now: number): Promise<CertificateState> {
  await requireAuthority(directory)
  const certificate = await readCertificate(directory, name)
  const entry = (await readCrl(directory))?.revoked.find(({ serial }) => serial === certificate.serial)
  const state = entry ? 'revoked' : certificate.notAfter < now ? 'expired' : 'valid'
  return { name, certificate, state, revocation: entry ? { date: entry.date, reason: entry.reason } : undefined }
}

/** Host names and addresses in a certificate, for people. */
export function hostNamesOf(certificate: Certificate): string[] {
  return alternativeNames(certificate).flatMap((name) => ('value' in name && typeof name.value === 'string' ? [name.value] : []))
}

export const commonNameOf = (certificate: Certificate): string => attributeOf(certificate.subjectName, 'CN') ?? certificate.subject

async function readCertificate(directory: string, name: string): Promise<Certificate> {
  if (name.includes('/') || name.includes('\0')) throw new KeylimeError('invalid_request', `"${name}" cannot be the name of a certificate`)
  const file = path.join(directory, `${name}-cert.crt`)
  if (!(await exists(file))) {
    throw new KeylimeError('not_found', `there is no certificate for ${name} in ${directory}`, {
      hint: '`keylime ca list` shows what there is',
    })
  }
  return parseCertificate((await readFile(file)).toString('utf8'))
}

async function requireAuthority(directory: string): Promise<void> {
  if (await isCaDirectory(directory)) return
  throw new KeylimeError('not_found', `${directory} holds no certificate authority`, {
    hint: `make one with \`keylime ca init -d ${directory}\``,
  })
}

async function readFile(file: string): Promise<Buffer> {
  return fs.readFile(file).catch((cause: NodeJS.ErrnoException) => {
    throw new KeylimeError(cause.code === 'ENOENT' ? 'not_found' : 'file_failed', `cannot read ${file}: ${cause.message}`, { cause })
  })
}

const exists = (file: string) =>
  fs.access(file).then(
    () => true,
    () => false,
  )
