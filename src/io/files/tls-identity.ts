import path from 'node:path'
import { KeylimeError } from '../../core/errors.ts'
import { Problems } from '../../core/problems.ts'
import type { Secret } from '../../core/secret.ts'
import { parseCertificateText, parseKeyText, requirePair } from './key-file.ts'
import { readText } from './read-file.ts'

/** What one side of a TLS connection needs, PEM texts. */
export interface TlsIdentity {
  readonly cert: string
  readonly certFile: string
  readonly key: string
  readonly keyFile: string
  readonly keyPassword?: string
  readonly ca: string[]
  /** The same with the files that they are from. */
  readonly trusted: readonly { readonly file: string; readonly pem: string }[]
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

/** Where a role keeps its files, and `tls_dir` of them. */
type TlsPlace = Pick<TlsIdentityRequest, 'keylimeDir' | 'directory'>

interface ServerOptions {
  readonly server_cert: string
  readonly server_key: string
  readonly server_key_password: Secret
  readonly trusted_client_ca: readonly string[]
}

interface ClientOptions {
  readonly client_cert: string
  readonly client_key: string
  readonly client_key_password: Secret
  readonly trusted_server_ca: readonly string[]
}

/** What a role shows to those who call it, by the options that are named alike in all of them. */
export const serverRequest = (values: ServerOptions, place: TlsPlace): TlsIdentityRequest => ({
  ...place,
  side: 'server',
  cert: values.server_cert,
  key: values.server_key,
  keyPassword: values.server_key_password.reveal(),
  trusted: values.trusted_client_ca,
})

/** The same towards those whom it calls. */
export const clientRequest = (values: ClientOptions, place: TlsPlace): TlsIdentityRequest => ({
  ...place,
  side: 'client',
  cert: values.client_cert,
  key: values.client_key,
  keyPassword: values.client_key_password.reveal(),
  trusted: values.trusted_server_ca,
})

/** Where `tls_dir` points (protocol 7.6): `generate` is cv_ca for the verifier and reg_ca for the registrar, `default` is cv_ca for all. */
export function tlsDirectory(tlsDir: string, keylimeDir: string, role: 'verifier' | 'registrar' | 'tenant' | 'agent'): string {
  if (tlsDir === 'generate') return path.join(keylimeDir, role === 'registrar' ? 'reg_ca' : 'cv_ca')
  if (tlsDir === 'default') return path.join(keylimeDir, 'cv_ca')
  return path.resolve(keylimeDir, tlsDir)
}

/** Reads key, certificate and trusted CAs of one side, and looks whether they can be used. @throws KeylimeError `config_invalid` that names the option and the file. */
export async function loadTlsIdentity(request: TlsIdentityRequest): Promise<TlsIdentity> {
  const { side, directory } = request
  const option = (name: string) => `${side}_${name}`
  const resolve = (value: string, standard: string) => path.resolve(directory, value === 'default' || value === '' ? standard : value)
  const certFile = { file: resolve(request.cert, `${side}-cert.crt`), option: option('cert') }
  const keyFile = { file: resolve(request.key, `${side}-private.pem`), option: option('key'), password: request.keyPassword }
  const problems = new Problems()
  const pair = await problems.wait(readPair(certFile, keyFile))
  const trustOption = side === 'server' ? 'trusted_client_ca' : 'trusted_server_ca'
  const read = async (item: string) => {
    const file = trustedFile(item, request, trustOption)
    return { file, pem: await readTrusted(file, trustOption) }
  }
  const trusted = (await Promise.all(request.trusted.map((item) => problems.wait(read(item))))).filter((file) => file !== undefined)
  problems.refuse()
  return {
    cert: pair!.cert,
    certFile: certFile.file,
    key: pair!.key,
    keyFile: keyFile.file,
    ca: trusted.map(({ pem }) => pem),
    trusted,
    ...(request.keyPassword === '' ? {} : { keyPassword: request.keyPassword }),
  }
}

interface NamedFile {
  readonly file: string
  readonly option: string
}

async function readPair(certFile: NamedFile, keyFile: NamedFile & { password: string }): Promise<{ cert: string; key: string }> {
  const problems = new Problems()
  const [cert, key] = await Promise.all([problems.wait(readPem(certFile)), problems.wait(readPem({ ...keyFile, isSecret: true }))])
  const x509 = cert === undefined ? undefined : problems.take(() => parseCertificateText(cert, certFile))
  const opened = key === undefined ? undefined : problems.take(() => parseKeyText(key, keyFile))
  problems.refuse()
  requirePair({ ...certFile, x509: x509! }, { ...keyFile, key: opened! })
  return { cert: cert!, key: key! }
}

/** All files that an identity was read from. */
export const filesOf = ({ certFile, keyFile, trusted }: TlsIdentity): string[] => [certFile, keyFile, ...trusted.map(({ file }) => file)]

/** Option `trusted_client_crl` with absolute paths. @param directory against which relative ones are. */
export const revocationListFiles = (items: readonly string[], directory: string): string[] =>
  items.map((item) => (item === 'default' ? item : path.resolve(directory, item)))

function trustedFile(item: string, request: TlsIdentityRequest, option: string): string {
  if (item === 'default') return path.join(request.keylimeDir, 'cv_ca', 'cacert.crt') // for every component, whatever tls_dir says
  if (item !== 'all') return path.resolve(request.directory, item)
  throw new KeylimeError('config_invalid', `${option} = all would trust anyone, and is not supported`, {
    hint: `name the CA's certificate in ${option}`,
  })
}

/** @throws KeylimeError `config_invalid` for a file without a certificate: it would trust nobody, without a word. */
async function readTrusted(file: string, option: string): Promise<string> {
  const text = await readPem({ file, option })
  parseCertificateText(text, { file, option })
  return text
}

const readPem = ({ file, option, isSecret = false }: NamedFile & { isSecret?: boolean }): Promise<string> =>
  readText(file, {
    option,
    isSecret,
    code: 'config_invalid',
    hint: 'start the verifier first (it makes keys and certificates), or correct tls_dir',
  })
