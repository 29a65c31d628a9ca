import { createPrivateKey, createPublicKey } from 'node:crypto'
import fs from 'node:fs/promises'
import { KeylimeError } from '../../core/errors.ts'
import { computedKeyId, type ImaKey, type Keyring, readImaKey } from '../../core/ima/keyring.ts'
import type { VerifiedPcrs } from '../../core/quote/verify-quote.ts'
import type { HashName } from '../../core/tpm/algorithms.ts'

/** The content of a file of the user. @throws KeylimeError `not_found` or `file_failed`. */
export async function readInput(file: string): Promise<Buffer> {
  return fs.readFile(file).catch((cause: NodeJS.ErrnoException) => {
    throw new KeylimeError(cause.code === 'ENOENT' ? 'not_found' : 'file_failed', `cannot read ${file}: ${cause.message}`, { cause })
  })
}

export const readTextInput = async (file: string): Promise<string> => (await readInput(file)).toString('utf8')

/** Keys that verify file signatures: certificates, public keys, and private ones, whose public half is taken. @throws KeylimeError `invalid_request`. */
export async function readImaKeys(files: readonly string[]): Promise<Keyring> {
  const keyring = new Map<number, ImaKey['key']>()
  for (const file of files) {
    const bytes = await readInput(file)
    const found = readImaKey(bytes) ?? publicHalf(bytes)
    if (found === null || found === 'unsupported')
      throw new KeylimeError('invalid_request', `${file}: is no certificate and no key that verifies file signatures`, {
        hint: 'RSA, P-256, P-384, P-521 or secp256k1, as PEM or DER',
      })
    keyring.set(found.id, found.key)
  }
  return keyring
}

function publicHalf(bytes: Buffer): ImaKey | null {
  try {
    const key = createPublicKey(createPrivateKey(bytes))
    return { id: computedKeyId(key), key }
  } catch {
    return null // neither a private key
  }
}

/** For judging offline only: nobody signed these values, so nothing may be released on the verdict. */
export const unsignedPcrs = (hash: HashName, values: Map<number, Buffer>): VerifiedPcrs => ({ hash, values }) as unknown as VerifiedPcrs
