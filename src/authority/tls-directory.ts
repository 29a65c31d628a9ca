import fs from 'node:fs/promises'
import os from 'node:os'
import path from 'node:path'
import { KeylimeError } from '../core/errors.ts'
import type { CaSettings } from '../core/pki/ca-settings.ts'
import { hostName } from '../core/pki/issue.ts'
import { tlsDirectory } from '../io/files/tls-identity.ts'
import { type CaAccess, exists, isCaDirectory } from './ca-access.ts'
import { requireRoomForAuthority, requireWholeAuthority } from './ca-directory.ts'
import { initCaDirectory } from './init-authority.ts'
import { readCertificate } from './list-certificates.ts'
import { withAuthority } from './open-authority.ts'
import { readCrl } from './revocation-list.ts'

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
}

/**
 * Makes what `tls_dir = generate` promises, and only what is missing, has ended or was revoked: a CA of upstream's shape, the server's certificate and, for the verifier, the
 * client's, which is an operator's.
 * Two services that start at once make it once. For another `tls_dir` it checks that the directory is there. @returns its absolute path.
 */
export async function ensureTlsDirectory(request: TlsDirectoryRequest): Promise<string> {
  const directory = tlsDirectory(request.tlsDir, request.keylimeDir, request.role)
  if (request.tlsDir !== 'generate') {
    await requireDirectory(request, directory)
    return directory
  }
  const access: CaAccess = { directory, password: request.caPassword, settings: request.settings, now: request.now }
  const wanted = request.role === 'verifier' ? (['server', 'client'] as const) : (['server'] as const)
  const missing: ('server' | 'client')[] = []
  for (const name of wanted) if (!(await isUsable(access, name))) missing.push(name)
  if (missing.length === 0) return directory
  if (!(await isCaDirectory(directory))) await initCaDirectory(access)
  await withAuthority(access, async (authority) => {
    for (const name of missing) {
      if (await isUsable(access, name)) continue
      await authority.issue({
        name,
        role: name === 'server' ? 'server' : 'operator',
        alternativeNames: name === 'server' ? serverNames(request.names) : [{ type: 'dns', value: 'client' }],
        keyPassword: name === 'server' ? request.serverKeyPassword : request.clientKeyPassword,
      })
      if (name === 'client') await letGroupIn(directory)
    }
  })
  return directory
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

function serverNames(names: readonly string[]) {
  const all = [
    'localhost',
    os.hostname(),
    '127.0.0.1',
    '::1',
    ...names.filter((name) => name !== '' && name !== '0.0.0.0' && name !== '::'),
  ]
  return [...new Set(all)].map(hostName)
}

/** All files are there, and the certificate is valid now and was not revoked. */
async function isUsable({ directory, now }: CaAccess, name: string): Promise<boolean> {
  if (!(await isComplete(directory, name))) return false
  const { serial, notBefore, notAfter } = await readCertificate(directory, name)
  const isCurrent = notBefore <= now() && notAfter > now() // one of the future was made while the clock was ahead
  return isCurrent && !(await readCrl(directory))?.revoked.some((entry) => entry.serial === serial)
}

async function isComplete(directory: string, name: string): Promise<boolean> {
  const files = [`${name}-cert.crt`, `${name}-private.pem`, 'cacert.crt']
  const found = await Promise.all(files.map((file) => exists(path.join(directory, file))))
  return found.every(Boolean)
}
