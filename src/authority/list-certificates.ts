import fs from 'node:fs/promises'
import path from 'node:path'
import { KeylimeError } from '../core/errors.ts'
import { parseCertificate } from '../core/pki/certificate.ts'
import type { RevocationReason } from '../core/pki/crl.ts'
import type { Certificate } from '../core/pki/types.ts'
import { readText } from '../io/files/read-file.ts'
import { exists, requireCaDirectory } from './ca-access.ts'
import { readCrl } from './revocation-list.ts'

/** A certificate of the authority as `list` and `show` present it. */
export interface CertificateState {
  readonly name: string
  readonly certificate: Certificate
  readonly state: 'valid' | 'expired' | 'revoked'
  readonly revocation: { readonly date: number; readonly reason: RevocationReason | undefined } | undefined
}

const CERTIFICATE_FILE = /^(.+)-cert\.crt$/

/** All certificates in the directory; needs no password. Certificates that were replaced by another of their name are not in it. */
export async function listCertificates(directory: string, now: number): Promise<CertificateState[]> {
  await requireCaDirectory(directory)
  const names = (await fs.readdir(directory)).map((file) => CERTIFICATE_FILE.exec(file)?.[1]).filter((name) => name !== undefined)
  const states = await Promise.all(names.map((name) => showCertificate(directory, name, now)))
  return states.sort((a, b) => Number(a.certificate.serial - b.certificate.serial))
}

/** One certificate with its state; needs no password. */
export async function showCertificate(directory: string, name: string, now: number): Promise<CertificateState> {
  await requireCaDirectory(directory)
  const certificate = await readCertificate(directory, name)
  const entry = (await readCrl(directory))?.revoked.find(({ serial }) => serial === certificate.serial)
  const state = entry ? 'revoked' : certificate.notAfter < now ? 'expired' : 'valid'
  return { name, certificate, state, revocation: entry ? { date: entry.date, reason: entry.reason } : undefined }
}

/** The certificate of a name. @throws KeylimeError `invalid_request` for what can be no name, `not_found`, `malformed`. */
export async function readCertificate(directory: string, name: string): Promise<Certificate> {
  if (name.includes('/') || name.includes('\0')) throw new KeylimeError('invalid_request', `"${name}" cannot be the name of a certificate`)
  const file = path.join(directory, `${name}-cert.crt`)
  if (!(await exists(file))) {
    throw new KeylimeError('not_found', `there is no certificate for ${name} in ${directory}`, {
      hint: '`keylime ca list` shows what there is',
    })
  }
  return parseCertificate(await readText(file))
}
