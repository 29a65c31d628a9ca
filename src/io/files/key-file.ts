import { type KeyObject, X509Certificate } from 'node:crypto'
import { isKeylimeError, KeylimeError } from '../../core/errors.ts'
import { readPrivateKey } from '../../core/pki/keys.ts'
import { readTextSync, type SyncReadOptions } from './read-file.ts'

/** A private key as an option names it. */
export interface KeyFile {
  readonly file: string
  readonly password: string
  /** Such as `server_key`; its password is `server_key_password`. */
  readonly option: string
}

/** The key of a file that not every user may read. @throws KeylimeError `config_invalid` that says which option and file, and what is wrong with it. */
export function readKeyFile({ file, password, option }: KeyFile, reading: SyncReadOptions = {}): KeyObject {
  return parseKeyText(readTextSync(file, { code: 'config_invalid', ...reading, option, isSecret: true }), { file, password, option })
}

/** The same of a text that was read. */
export function parseKeyText(text: string, { file, password, option }: KeyFile): KeyObject {
  try {
    return readPrivateKey(text, password)
  } catch (cause) {
    if (isKeylimeError(cause) && cause.code === 'wrong_password')
      throw password === ''
        ? defect(`${option}: ${file} needs a password`, `set ${option}_password`, cause)
        : defect(`${option}: ${option}_password does not open ${file}`, `correct ${option}_password`, cause)
    if (text.includes('-----BEGIN CERTIFICATE-----'))
      throw defect(`${option}: ${file} holds a certificate and no private key`, 'are the files of key and certificate swapped?', cause)
    throw defect(
      `${option}: ${file} holds no private key that can be read`,
      'give a key in PEM (`openssl pkey -in FILE` converts it)',
      cause,
    )
  }
}

/** The first certificate of a PEM text. @throws KeylimeError `config_invalid` when there is none. */
export function parseCertificateText(text: string, { file, option }: Omit<KeyFile, 'password'>): X509Certificate {
  try {
    return new X509Certificate(text)
  } catch (cause) {
    if (/-----BEGIN (ENCRYPTED |RSA |EC )?PRIVATE KEY-----/.test(text) && !text.includes('-----BEGIN CERTIFICATE-----'))
      throw defect(`${option}: ${file} holds a private key and no certificate`, 'are the files of key and certificate swapped?', cause)
    throw defect(`${option}: ${file} holds no certificate that can be read`, 'give a certificate in PEM', cause)
  }
}

/** @throws KeylimeError `config_invalid` when the certificate is that of another key. */
export function requirePair(
  certificate: { x509: X509Certificate; file: string; option: string },
  key: { key: KeyObject } & Omit<KeyFile, 'password'>,
): void {
  if (certificate.x509.checkPrivateKey(key.key)) return
  throw defect(
    `${key.option}: ${key.file} is not the key of the certificate in ${certificate.file} (${certificate.option})`,
    'name the key and the certificate that were made together',
  )
}

const defect = (message: string, hint: string, cause?: unknown) => new KeylimeError('config_invalid', message, { hint, cause })
