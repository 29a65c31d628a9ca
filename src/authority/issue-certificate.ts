import type { KeyObject } from 'node:crypto'
import fs from 'node:fs/promises'
import path from 'node:path'
import { KeylimeError } from '../core/errors.ts'
import { RESERVED_NAMES } from '../core/keystore/keystore.ts'
import { type HostName, issueCertificate as signCertificate } from '../core/pki/issue.ts'
import { type KeyPair, makeKeyPair, privateKeyPem, publicKeyPem } from '../core/pki/keys.ts'
import { upstreamSubject } from '../core/pki/names.ts'
import type { Role } from '../core/pki/roles.ts'
import type { Certificate } from '../core/pki/types.ts'
import { writeFileAtomic } from '../io/files/atomic-file.ts'
import { keepIssued } from './issued-certificates.ts'
import type { Issuer } from './issuer.ts'

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
  /** In place of a new pair; left aside with `publicKey`. */
  readonly keys?: KeyPair
  /** What it calls or serves over mutual TLS; without one neither. */
  readonly role?: Role
  /** Encrypts the key file (not the copy in the key store). */
  readonly keyPassword?: string
  /** Certificates that stand behind it in its file, PEM. */
  readonly chain?: string
}

const DAY_MS = 86_400_000
/** Clocks of machines differ: what is issued is valid since a while ago. */
export const BACKDATE_MS = 5 * 60_000

/**
 * Issues a certificate and writes it with its keys (`<name>-cert.crt`, `-public.pem`, `-private.pem`). The serial is used up before anything is written,
 * so none is ever given twice, and the certificate is kept among those that were issued before anybody can have it. @throws KeylimeError `invalid_request` for a name that cannot be a file's, `refused` when the authority itself ran out.
 */
export async function issueCertificate(issuer: Issuer, request: IssueRequest): Promise<Issued> {
  checkName(request.name)
  const { access, store } = issuer
  const { settings } = access
  const pair = request.publicKey ? undefined : (request.keys ?? (await makeKeyPair(settings.keyKind)))
  const publicKey = request.publicKey ?? pair?.publicKey
  if (!publicKey) throw new TypeError('unreachable: neither a public key nor a key pair')
  const serial = store.newSerial()
  const now = access.now()
  const certificate = await signCertificate(issuer, {
    subject: upstreamSubject(request.name, settings.subject),
    publicKey,
    serial,
    notBefore: now - BACKDATE_MS,
    notAfter: now + (request.days ?? settings.lifetimeDays) * DAY_MS,
    alternativeNames: request.alternativeNames?.length ? request.alternativeNames : [{ type: 'dns', value: request.name }],
    crlUrl: settings.crlUrl,
    role: request.role,
  })
  const pem = pair ? privateKeyPem(pair.privateKey) : undefined
  await store.useSerial(serial, request.name, pem)
  await keepIssued(access.directory, request.name, certificate)
  await writeFiles(path.join(access.directory, request.name), {
    certificate: certificate.pem + (request.chain ?? ''),
    publicKey: publicKeyPem(publicKey),
    privateKey: pair && privateKeyPem(pair.privateKey, request.keyPassword),
  })
  return { certificate, privateKeyPem: pem }
}

/** The certificate goes first and comes last: it never stands beside a key that is not its own. */
async function writeFiles(stem: string, pem: { certificate: string; publicKey: string; privateKey: string | undefined }): Promise<void> {
  await fs.rm(`${stem}-cert.crt`, { force: true })
  if (pem.privateKey) await writeFileAtomic(`${stem}-private.pem`, pem.privateKey, 0o600)
  else await fs.rm(`${stem}-private.pem`, { force: true })
  await writeFileAtomic(`${stem}-public.pem`, pem.publicKey, 0o640)
  await writeFileAtomic(`${stem}-cert.crt`, pem.certificate, 0o640)
}

/** Names become file names and keys of the key store. */
function checkName(name: string): void {
  if (!/^[\w.@:+-][\w .@:+-]{0,99}$/.test(name) || name.startsWith('.') || RESERVED_NAMES.includes(name)) {
    throw new KeylimeError('invalid_request', `"${name}" cannot be the name of a certificate`, {
      hint: 'use letters, digits and _ . @ : + -, at most 100',
    })
  }
}
