import { createPublicKey, type KeyObject } from 'node:crypto'
import fs from 'node:fs'
import { KeylimeError } from '../../../core/errors.ts'
import { type KeyKind, makeKeyPair, privateKeyPem, publicKeyPem } from '../../../core/pki/keys.ts'
import { writeFileAtomic } from '../../../io/files/atomic-file.ts'
import { readKeyFile } from '../../../io/files/key-file.ts'

/** The RSA key to which U and V are encrypted; every quote binds it through PCR 16. */
export interface TransportKey {
  privateKey: KeyObject
  /** Exactly the text that is hashed into PCR 16 and sent as `pubkey`. */
  publicPem: string
}

/** A private key in a file. */
export interface KeyFile {
  file: string
  password: string
}

/**
 * Reads the key of `file`, or makes it. Agents in Rust had one key for TLS and payload once: where there is no key of the payload yet and that of TLS is RSA, it is that key which quotes of
 * this boot have bound, so it is taken over. @param serverKey null when the operator has named a file for the payload's. @throws KeylimeError `config_invalid` when it is not RSA of at least 2048 bits.
 */
export async function openTransportKey({ file, password }: KeyFile, serverKey: KeyFile | null): Promise<TransportKey> {
  const older = serverKey && !fs.existsSync(file) ? readOlderKey(serverKey) : null
  if (older) await writeFileAtomic(file, privateKeyPem(older, password), 0o600)
  const privateKey = older ?? (await openKey(file, password, { type: 'rsa', bits: 2048, option: 'payload_key' }))
  if (!isTransportKey(privateKey)) throw new KeylimeError('config_invalid', `payload_key ${file} must be an RSA key of at least 2048 bits`)
  return { privateKey, publicPem: publicKeyPem(createPublicKey(privateKey)) }
}

const isTransportKey = ({ asymmetricKeyType, asymmetricKeyDetails }: KeyObject) =>
  asymmetricKeyType === 'rsa' && (asymmetricKeyDetails?.modulusLength ?? 0) >= 2048

/** Null for a key of another kind, such as those that are made here. */
function readOlderKey({ file, password }: KeyFile): KeyObject | null {
  if (!fs.existsSync(file)) return null
  const key = readKeyFile({ file, password, option: 'server_key' })
  return isTransportKey(key) ? key : null
}

/**
 * Reads a private key, or makes one (0600, encrypted when there is a password). @param kind of a new one, and the option that names the file.
 * @throws KeylimeError `config_invalid` that names option and file for one that cannot be read: it is never replaced.
 */
export async function openKey(file: string, password: string, { option, ...kind }: KeyKind & { option: string }): Promise<KeyObject> {
  if (fs.existsSync(file)) return readKeyFile({ file, password, option })
  const { privateKey } = await makeKeyPair(kind)
  await writeFileAtomic(file, privateKeyPem(privateKey, password), 0o600)
  return privateKey
}
