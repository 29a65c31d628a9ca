import fs from 'node:fs/promises'
import path from 'node:path'
import { KeylimeError } from '../../core/errors.ts'
import { readText } from '../files/read-file.ts'
import { askSecret } from './ask-secret.ts'

export interface CaPasswordSources {
  /** `--password-file`, else option `password_file`; empty: none. */
  readonly file: string
  /** Option `password` or KEYLIME_CA_PASSWORD; `default` means: ask. */
  readonly configured: string
  /** `CREDENTIALS_DIRECTORY` of systemd. */
  readonly credentialsDirectory: string | undefined
  /** A new authority: ask twice. */
  readonly isNew: boolean
}

const HINT = 'set KEYLIME_CA_PASSWORD, give --password-file FILE, or use a systemd credential named ca_password'

/** The password of the CA's key store: file, configuration or environment, systemd credential, terminal, in this order. Never from the command line. */
export async function caPassword(sources: CaPasswordSources): Promise<string> {
  const given = await givenCaPassword(sources)
  if (given !== undefined) return given
  if (!sources.isNew) return askSecret('Please enter the password to decrypt your keystore: ', HINT)
  const password = await askSecret('Please enter a password to encrypt your keystore: ', HINT)
  const again = await askSecret('The same password again: ', HINT)
  if (password !== again) throw new KeylimeError('usage', 'the two passwords differ', { hint: 'try again' })
  if (password === '') throw new KeylimeError('usage', 'an empty password would protect nothing', { hint: HINT })
  return password
}

/** The same without a terminal: undefined when nothing gives one. A file may give another one later, the configuration of a running program does not. */
export async function givenCaPassword(sources: Omit<CaPasswordSources, 'isNew'>): Promise<string | undefined> {
  if (sources.file !== '') return firstLine(sources.file)
  if (sources.configured !== 'default') return sources.configured
  if (!sources.credentialsDirectory) return undefined
  const credential = path.join(sources.credentialsDirectory, 'ca_password')
  return (await exists(credential)) ? firstLine(credential) : undefined
}

async function firstLine(file: string): Promise<string> {
  return (await readText(file, { what: 'the password file', code: 'file_failed', isSecret: true })).split(/\r?\n/)[0] ?? ''
}

const exists = (file: string) =>
  fs.access(file).then(
    () => true,
    () => false,
  )
