import fs from 'node:fs/promises'
import os from 'node:os'
import path from 'node:path'
import { causeChain, KeylimeError } from '../core/errors.ts'
import type { CaSettings } from '../core/pki/ca-settings.ts'
import { isDue } from '../core/pki/certificate-dates.ts'
import { type HostName, hostName } from '../core/pki/issue.ts'
import { tlsDirectory } from '../io/files/tls-identity.ts'
import { type CaAccess, exists, isCaDirectory } from './ca-access.ts'
import { requireRoomForAuthority, requireWholeAuthority } from './ca-directory.ts'
import { initCaDirectory } from './init-authority.ts'
import { issueCertificate } from './issue-certificate.ts'
import type { Issuer } from './issuer.ts'
import { isWrongPassword } from './key-store.ts'
import { readCertificate } from './list-certificates.ts'
import { withIssuer } from './open-authority.ts'
import { chainOf, renewTlsCertificate, roleFor, signerOf, type TlsName } from './renew-tls-certificate.ts'
import { readCrl } from './revocation-list.ts'
import { requireSecretAuthority, servicePasswordFile } from './service-password.ts'

export interface TlsDirectoryRequest {
  readonly role: 'verifier' | 'registrar'
  readonly keylimeDir: string
  /** Option `tls_dir`: `generate`, `default` or a path. */
  readonly tlsDir: string
  /** Further names and addresses of the server: the bind address, `cert_subject_alternative_names`. */
  readonly names: readonly string[]
  /** `[ca] password`; never asked for here. */
  readonly caPassword: string
  readonly settings: CaSettings
  readonly serverKeyPassword: string
  readonly clientKeyPassword: string
  now(): number
  /** Of what cannot be made anew, while what is there is still good. */
  warn?(text: string): void
  /** Of each file that was made. */
  told?(file: string, need: 'renewal' | 'another'): void
}

/**
 * Makes what `tls_dir = generate` promises, and only what is missing, has ended, was revoked, or is past two thirds of its life: a CA of upstream's shape, the server's certificate and, for the verifier, the
 * client's, which is an operator's.
 * Two services that start at once make it once. For another `tls_dir` it checks that the directory is there. @returns its absolute path.
 */
export async function ensureTlsDirectory(request: TlsDirectoryRequest): Promise<string> {
  const directory = tlsDirectory(request.tlsDir, request.keylimeDir, request.role)
  if (request.tlsDir !== 'generate') {
    await requireDirectory(request, directory)
    return directory
  }
  await requireSecretAuthority(directory)
  const access: CaAccess = { directory, password: request.caPassword, settings: request.settings, now: request.now }
  const needs = await needsOf(access, request.role)
  if (needs.every((need) => need === 'nothing')) return directory
  if (!(await isCaDirectory(directory))) await initCaDirectory(access)
  const made = makeWhatIsNeeded(access, request)
  // while those that are there serve still, a start goes on with them
  await (needs.some((need) => need === 'another') ? made : made.catch((error) => request.warn?.(cannotRenew(directory, error))))
  return directory
}

/** What a certificate of the directory needs: `renewal` when two thirds of its life are over, `another` when it is missing, has ended or was revoked. */
type Need = 'nothing' | 'renewal' | 'another'

const namesOf = (role: TlsDirectoryRequest['role']): readonly TlsName[] => (role === 'verifier' ? ['server', 'client'] : ['server'])

const needsOf = (access: CaAccess, role: TlsDirectoryRequest['role']): Promise<Need[]> =>
  Promise.all(namesOf(role).map((name) => needOf(access, name)))

/** Looks again with the lock: another service may have made them meanwhile. */
async function makeWhatIsNeeded(access: CaAccess, request: TlsDirectoryRequest): Promise<void> {
  await withIssuer(access, async (issuer) => {
    for (const name of namesOf(request.role)) {
      const need = await needOf(access, name)
      if (need === 'another') await makeAnew(issuer, name, request)
      if (need === 'renewal') await renewTlsCertificate(issuer, name, alternativeNames(name, request))
      if (need !== 'nothing') request.told?.(`${name}-cert.crt`, need)
    }
  })
}

async function makeAnew(issuer: Issuer, name: TlsName, request: TlsDirectoryRequest): Promise<void> {
  await issueCertificate(signerOf(issuer, name), {
    name,
    chain: await chainOf(issuer, name),
    role: roleFor(name),
    alternativeNames: alternativeNames(name, request),
    keyPassword: name === 'server' ? request.serverKeyPassword : request.clientKeyPassword,
  })
  if (name === 'client') await letGroupIn(issuer.access.directory)
}

const alternativeNames = (name: TlsName, { names }: TlsDirectoryRequest): HostName[] =>
  name === 'server' ? serverNames(names) : [{ type: 'dns', value: 'client' }]

function cannotRenew(directory: string, error: unknown): string {
  const why = causeChain(error).join(': ')
  const isLocked = isWrongPassword(error)
  const next = isLocked
    ? `set [ca] password in ca.conf to that of its key store, or bring ${servicePasswordFile(directory)} along from where it was made`
    : 'if the key of the authority is kept elsewhere, make the certificates there and copy them here'
  return `the certificates of tls_dir = generate in ${directory} are due, and cannot be renewed: ${why}; ${next}`
}

/** Who is in the group of the service is an operator: the tenant's key is for them too. The keys of the authority and of the server are not. */
async function letGroupIn(directory: string): Promise<void> {
  await fs.chmod(directory, 0o750)
  await fs.chmod(path.join(directory, 'client-private.pem'), 0o640)
}

/**
 * Looks whether a start would find or make its certificates, and makes nothing. @returns the directory when all is there to be read; null when the start
 * makes it first, or the verifier does. @throws KeylimeError when neither can be.
 */
export async function checkTlsDirectory(request: Pick<TlsDirectoryRequest, 'role' | 'keylimeDir' | 'tlsDir'>): Promise<string | null> {
  const { role, tlsDir } = request
  const directory = tlsDirectory(tlsDir, request.keylimeDir, role)
  if (tlsDir === 'default' && !(await exists(directory))) return null
  if (tlsDir !== 'generate') {
    await requireDirectory(request, directory)
    return directory
  }
  await requireSecretAuthority(directory)
  const wanted = role === 'verifier' ? ['server', 'client'] : ['server']
  const complete = await Promise.all(wanted.map((name) => isComplete(directory, name)))
  if (complete.every(Boolean)) return directory
  await requireWholeAuthority(directory)
  if (!(await isCaDirectory(directory))) await requireRoomForAuthority(directory)
  return null
}

async function requireDirectory({ role, tlsDir }: Pick<TlsDirectoryRequest, 'role' | 'tlsDir'>, directory: string): Promise<void> {
  await fs.access(directory).catch((cause) => {
    throw new KeylimeError('config_invalid', `tls_dir of the ${role} is ${directory}, which does not exist`, {
      cause,
      hint: tlsDir === 'default' ? 'start the verifier first (it makes this directory), or set tls_dir = generate' : 'correct tls_dir',
    })
  })
}

/** What machines that bring their evidence look for in it: a server that listens everywhere is found at each address of its machine. */
function serverNames(names: readonly string[]) {
  const isEverywhere = (name: string) => name === '0.0.0.0' || name === '::'
  const addresses = names.some(isEverywhere) ? ownAddresses() : []
  const all = ['localhost', os.hostname(), '127.0.0.1', '::1', ...addresses, ...names.filter((name) => name !== '' && !isEverywhere(name))]
  return [...new Set(all)].map(hostName)
}

/** Without those of a link alone, which need a scope. */
const ownAddresses = (): string[] =>
  Object.values(os.networkInterfaces())
    .flatMap((found) => found ?? [])
    .filter(({ internal, scopeid }) => !internal && !scopeid)
    .map(({ address }) => address)

async function needOf({ directory, now }: CaAccess, name: TlsName): Promise<Need> {
  if (!(await isComplete(directory, name))) return 'another'
  const certificate = await readCertificate(directory, name)
  const isRevoked = (await readCrl(directory))?.revoked.some(({ serial }) => serial === certificate.serial)
  const isOfNow = certificate.notBefore <= now() && certificate.notAfter > now() // one of the future was made while the clock was ahead
  if (isRevoked || !isOfNow) return 'another'
  return isDue(certificate, now()) ? 'renewal' : 'nothing'
}

async function isComplete(directory: string, name: string): Promise<boolean> {
  const files = [`${name}-cert.crt`, `${name}-private.pem`, 'cacert.crt']
  const found = await Promise.all(files.map((file) => exists(path.join(directory, file))))
  return found.every(Boolean)
}
