import fs from 'node:fs/promises'
import os from 'node:os'
import path from 'node:path'
import { KeylimeError } from '../../core/errors.ts'
import type { CaSettings } from '../../core/pki/ca-settings.ts'
import { hostName } from '../../core/pki/issue.ts'
import { type CaAccess, initCaDirectory, isCaDirectory, withAuthority } from './ca-directory.ts'

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

/** What one side of a TLS connection needs, PEM texts. */
export interface TlsIdentity {
  readonly cert: string
  readonly key: string
  readonly keyPassword?: string
  readonly ca: string[]
}

export interface TlsIdentityRequest {
  readonly keylimeDir: string
  /** Absolute, from `ensureTlsDirectory` or `tlsDirectory`. */
  readonly directory: string
  readonly side: 'server' | 'client'
  /** Options `server_cert` / `client_cert` and `server_key` / `client_key`. */
  readonly cert: string
  readonly key: string
  readonly keyPassword: string
  /** Option `trusted_client_ca` or `trusted_server_ca`. */
  readonly trusted: readonly string[]
}

/** Where `tls_dir` points (protocol 7.6): `generate` is cv_ca for the verifier and reg_ca for the registrar, `default` is cv_ca for all. */
export function tlsDirectory(tlsDir: string, keylimeDir: string, role: 'verifier' | 'registrar' | 'tenant' | 'agent'): string {
  if (tlsDir === 'generate') return path.join(keylimeDir, role === 'registrar' ? 'reg_ca' : 'cv_ca')
  if (tlsDir === 'default') return path.join(keylimeDir, 'cv_ca')
  return path.resolve(keylimeDir, tlsDir)
}

/**
 * Makes what `tls_dir = generate` promises, and only what is missing: a CA of upstream's shape, the server's certificate and, for the verifier, the client's.
 * Two services that start at once make it once. For another `tls_dir` it checks that the directory is there. @returns its absolute path.
 */
export async function ensureTlsDirectory(request: TlsDirectoryRequest): Promise<string> {
  const directory = tlsDirectory(request.tlsDir, request.keylimeDir, request.role)
  if (request.tlsDir !== 'generate') {
    await fs.access(directory).catch((cause) => {
      throw new KeylimeError('config_invalid', `tls_dir of the ${request.role} is ${directory}, which does not exist`, {
        cause,
        hint:
          request.tlsDir === 'default'
            ? 'start the verifier first (it makes this directory), or set tls_dir = generate'
            : 'correct tls_dir',
      })
    })
    return directory
  }
  const access: CaAccess = { directory, password: request.caPassword, settings: request.settings, now: request.now }
  const wanted = request.role === 'verifier' ? (['server', 'client'] as const) : (['server'] as const)
  const missing: ('server' | 'client')[] = []
  for (const name of wanted) if (!(await isComplete(directory, name))) missing.push(name)
  if (missing.length === 0) return directory
  if (!(await isCaDirectory(directory))) await initCaDirectory(access)
  await withAuthority(access, async (authority) => {
    for (const name of missing) {
      if (await isComplete(directory, name)) continue
      await authority.issue({
        name,
        alternativeNames: name === 'server' ? serverNames(request.names) : [{ type: 'dns', value: 'client' }],
        keyPassword: name === 'server' ? request.serverKeyPassword : request.clientKeyPassword,
      })
    }
  })
  return directory
}

/** Reads key, certificate and trusted CAs of one side. @throws KeylimeError `config_invalid` that names the option and the file. */
export async function loadTlsIdentity(request: TlsIdentityRequest): Promise<TlsIdentity> {
  const { side, directory } = request
  const option = (name: string) => `${side}_${name}`
  const resolve = (value: string, standard: string) => path.resolve(directory, value === 'default' || value === '' ? standard : value)
  const cert = await readPem(resolve(request.cert, `${side}-cert.crt`), option('cert'))
  const key = await readPem(resolve(request.key, `${side}-private.pem`), option('key'))
  const trustOption = side === 'server' ? 'trusted_client_ca' : 'trusted_server_ca'
  const ca = await Promise.all(request.trusted.map((item) => readPem(trustedFile(item, request, trustOption), trustOption)))
  return { cert, key, ca, ...(request.keyPassword === '' ? {} : { keyPassword: request.keyPassword }) }
}

function trustedFile(item: string, request: TlsIdentityRequest, option: string): string {
  if (item === 'default') return path.join(request.keylimeDir, 'cv_ca', 'cacert.crt') // for every component, whatever tls_dir says
  if (item !== 'all') return path.resolve(request.directory, item)
  throw new KeylimeError('config_invalid', `${option} = all would trust anybody, and is not supported`, {
    hint: `name the CA's certificate in ${option}`,
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

async function isComplete(directory: string, name: string): Promise<boolean> {
  const found = await Promise.all(
    [`${name}-cert.crt`, `${name}-private.pem`, 'cacert.crt'].map((file) =>
      fs.access(path.join(directory, file)).then(
        () => true,
        () => false,
      ),
    ),
  )
  return found.every(Boolean)
}

async function readPem(file: string, option: string): Promise<string> {
  try {
    return await fs.readFile(file, 'utf8')
  } catch (cause) {
    throw new KeylimeError('config_invalid', `${option}: cannot read ${file}: ${(cause as Error).message}`, {
      cause,
      hint: 'start the verifier first (it makes keys and certificates), or correct tls_dir',
    })
  }
}
