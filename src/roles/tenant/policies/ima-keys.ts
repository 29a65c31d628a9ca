import { createPublicKey, type KeyObject, verify } from 'node:crypto'
import { KeylimeError } from '../../../core/errors.ts'
import { type ImaKey, keyringText, readImaKey } from '../../../core/ima/keyring.ts'
import { downloadAll } from '../../../io/http/download.ts'
import { verifySignature } from '../../../io/programs/gpgv.ts'
import type { TenantOptions } from '../tenant-options.ts'
import { naming, readSource } from './read-source.ts'

export type ImaKeyOptions = Pick<
  TenantOptions,
  'imaKeys' | 'imaKeySigs' | 'imaKeySigKeys' | 'imaKeyUrls' | 'imaKeySigUrls' | 'imaKeySigUrlKeys'
>

const FLAG = '--signature-verification-key'
const MAX_KEY_BYTES = 1 << 20

/** Keys for signed files, and their detached signatures in the same order: some keys may have none, but no signature is left over. */
interface Given {
  /** Of the option that names the keys; those of signatures and their keys begin with it. */
  flag: string
  keys: readonly string[]
  signatures: readonly string[]
  signingKeys: readonly string[]
  read(source: string, flag: string): Promise<Buffer>
}

/**
 * JSON text of a keyring of all keys that are given as files or by URL; empty without keys. A key whose signature is given must be signed well by the key beside
 * it, OpenPGP or EC. @throws KeylimeError `refused` when it is not, and for a key by plain HTTP without a signature.
 */
export async function imaKeyring(options: ImaKeyOptions): Promise<string> {
  const files: Given = {
    flag: FLAG,
    keys: options.imaKeys ?? [],
    signatures: options.imaKeySigs ?? [],
    signingKeys: options.imaKeySigKeys ?? [],
    read: readSource,
  }
  const urls: Given = {
    flag: `${FLAG}-url`,
    keys: options.imaKeyUrls ?? [],
    signatures: options.imaKeySigUrls ?? [],
    signingKeys: options.imaKeySigUrlKeys ?? [],
    read: (url, flag) => naming(flag, downloadAll(url, MAX_KEY_BYTES)),
  }
  const keys = new Map<number, KeyObject>()
  for (const { id, key } of [...(await readKeys(files)), ...(await readKeys(urls))]) keys.set(id, key)
  return keys.size > 0 ? keyringText(keys) : ''
}

async function readKeys(given: Given): Promise<ImaKey[]> {
  const { flag, keys, signatures, signingKeys, read } = given
  const signatureFlag = flag === FLAG ? `${FLAG}-sig` : `${FLAG}-sig-url`
  if (signatures.length > keys.length)
    throw new KeylimeError('usage', `${signatureFlag} is given ${signatures.length} times, ${flag} ${keys.length}`)
  if (signatures.length !== signingKeys.length)
    throw new KeylimeError('usage', `each ${signatureFlag} needs ${signatureFlag}-key: the key that it is checked with`)
  const found: ImaKey[] = []
  for (const [i, source] of keys.entries()) {
    const bytes = await read(source, flag)
    if (signatures[i] !== undefined)
      await checkSignature(source, {
        bytes,
        signature: await read(signatures[i], signatureFlag),
        signer: await readSource(signingKeys[i]!, `${signatureFlag}-key`),
      })
    else if (source.startsWith('http:'))
      throw new KeylimeError('refused', `${flag}: ${source} is fetched without TLS, and it is not signed`, {
        hint: `use https, or give its signature with ${signatureFlag}`,
      })
    found.push(imaKey(bytes, source, flag))
  }
  return found
}

function imaKey(bytes: Buffer, source: string, flag: string): ImaKey {
  const read = readImaKey(bytes)
  if (read !== null && read !== 'unsupported') return read
  throw new KeylimeError('invalid_request', `${flag}: ${source} is not a key that can verify file signatures`, {
    hint: 'give a certificate or a public key, RSA or EC, PEM or DER',
  })
}

/** By the kind of the signing key: an OpenPGP key block, or an EC key in PEM, whose signature is ECDSA with SHA-256 in DER. */
async function checkSignature(
  source: string,
  { bytes, signature, signer }: { bytes: Buffer; signature: Buffer; signer: Buffer },
): Promise<void> {
  const refused = (reason: string) =>
    new KeylimeError('refused', `${source}: ${reason}`, {
      hint: 'this is not the key that was signed, or the key for the signature is a different one: do not use it',
    })
  if (!signer.includes('-----BEGIN PUBLIC KEY-----')) {
    const verdict = await verifySignature({ data: bytes, signature, keys: [signer] }, process.env)
    if (verdict.outcome !== 'good') throw refused(verdict.reason)
    return
  }
  const key = createPublicKey(signer)
  if (key.asymmetricKeyType !== 'ec')
    throw refused(`its signature cannot be checked with a key of type ${key.asymmetricKeyType}: it must be EC or OpenPGP`)
  if (!verify('sha256', bytes, key, signature)) throw refused('its signature does not match')
}
