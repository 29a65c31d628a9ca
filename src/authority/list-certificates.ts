import fs from 'node:fs/promises'
import path from 'node:path'
import { KeylimeError } from '../core/errors.ts'
import { parseCertificate } from '../core/pki/certificate.ts'
import type { RevocationList, RevocationReason } from '../core/pki/crl.ts'
import type { Certificate } from '../core/pki/types.ts'
import { readText } from '../io/files/read-file.ts'
import { exists, requireCaDirectory } from './ca-access.ts'
import { issuedCertificates, readIssued } from './issued-certificates.ts'
import { readCrl } from './revocation-list.ts'

/** A certificate of the authority as `list` and `show` present it. */
export interface CertificateState {
  readonly name: string
  readonly certificate: Certificate
  readonly state: 'valid' | 'expired' | 'revoked'
  readonly revocation: { readonly date: number; readonly reason: RevocationReason | undefined } | undefined
  /** False when another one of its name was issued since. */
  readonly isLast: boolean
}

const CERTIFICATE_FILE = /^(.+)-cert\.crt$/

/** The last certificate of each name; needs no password. */
export async function listCertificates(directory: string, now: number): Promise<CertificateState[]> {
  await requireCaDirectory(directory)
  const names = (await fs.readdir(directory)).map((file) => CERTIFICATE_FILE.exec(file)?.[1]).filter((name) => name !== undefined)
  const states = await Promise.all(names.map((name) => showCertificate(directory, name, now)))
  return inOrder(states)
}

/** All certificates, also those that another one of their name took the place of; needs no password. */
export async function listAllCertificates(directory: string, now: number): Promise<CertificateState[]> {
  const last = await listCertificates(directory, now)
  const known = new Set(last.map(({ name, certificate }) => `${certificate.serial} ${name}`))
  const earlier = (await issuedCertificates(directory)).filter(({ name, serial }) => !known.has(`${serial} ${name}`))
  const crl = await readCrl(directory)
  const states = earlier.map(async (one) => stateOf(one.name, await readIssued(directory, one), { crl, now, isLast: false }))
  return inOrder([...last, ...(await Promise.all(states))])
}

/** As they were issued, as far as their dates tell. */
const inOrder = (states: readonly CertificateState[]): CertificateState[] =>
  states.toSorted(
    (a, b) =>
      a.certificate.notBefore - b.certificate.notBefore ||
      Number(a.isLast) - Number(b.isLast) ||
      Number(a.certificate.serial - b.certificate.serial),
  )

/** One certificate with its state; needs no password. */
export async function showCertificate(directory: string, name: string, now: number): Promise<CertificateState> {
  await requireCaDirectory(directory)
  const certificate = await readCertificate(directory, name)
  return stateOf(name, certificate, { crl: await readCrl(directory), now, isLast: true })
}

interface Standing {
  readonly crl: RevocationList | undefined
  readonly now: number
  readonly isLast: boolean
}

function stateOf(name: string, certificate: Certificate, { crl, now, isLast }: Standing): CertificateState {
  const entry = crl?.revoked.find(({ serial }) => serial === certificate.serial)
  const state = entry ? 'revoked' : certificate.notAfter < now ? 'expired' : 'valid'
  return { name, certificate, state, revocation: entry ? { date: entry.date, reason: entry.reason } : undefined, isLast }
}

/** @throws KeylimeError `invalid_request` for what can be no name. */
export function requireCertificateName(name: string): void {
  if (name.includes('/') || name.includes('\0')) throw new KeylimeError('invalid_request', `"${name}" cannot be the name of a certificate`)
}

/** The certificate of a name. @throws KeylimeError `invalid_request` for what can be no name, `not_found`, `malformed`. */
export async function readCertificate(directory: string, name: string): Promise<Certificate> {
  requireCertificateName(name)
  const file = path.join(directory, `${name}-cert.crt`)
  if (!(await exists(file))) {
    throw new KeylimeError('not_found', `there is no certificate for ${name} in ${directory}`, {
      hint: '`keylime ca list` shows all of them',
    })
  }
  return parseCertificate(await readText(file))
}
