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

/** Reads the key of `file`, or makes it. @throws KeylimeError `config_invalid` when it is not RSA of at least 2048 bits. */
export async function openTransportKey(file: string, password: string): Promise<TransportKey> {
  const privateKey = await openKey(file, password, { type: 'rsa', bits: 2048, option: 'payload_key' })
  const bits = privateKey.asymmetricKeyDetails?.modulusLength ?? 0
  if (privateKey.asymmetricKeyType !== 'rsa' || bits < 2048)
    throw new KeylimeError('config_invalid', `payload_key ${file} must be an RSA key of at least 2048 bits`)
  return { privateKey, publicPem: publicKeyPem(createPublicKey(privateKey)) }
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
