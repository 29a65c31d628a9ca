import { createPublicKey, generateKeyPairSync, type KeyObject } from 'node:crypto'
import fs from 'node:fs'
import { KeylimeError } from '../../core/errors.ts'
import { ecdsaKeyId, readSigningKey, signPolicy, x509KeyId } from '../../core/ima/sign-policy.ts'
import { makeSelfSigned } from '../../core/pki/issue.ts'
import { readFile } from '../../io/files/read-file.ts'
import type { FileToWrite } from '../../io/files/write-together.ts'
import { randomBytes } from '../../io/random.ts'

export interface SigningOptions {
  /** PEM file of a private EC key. */
  key?: string | undefined
  /** Where a new key is written, when there is no `key`. */
  keypath?: string | undefined
  backend: 'ecdsa' | 'x509'
  /** Where the certificate of back end x509 is written. */
  certOutfile?: string | undefined
  /** A key that is at `keypath` already is replaced, and no public key is written beside it, as upstream. */
  upstream?: boolean
}

const DAY_MS = 86_400_000
const CERTIFICATE_NAME = 'dsse_lib'

export interface SignedPolicy {
  readonly envelope: string
  /** A new key and a certificate, which belong to it: to be written with it. */
  readonly files: readonly FileToWrite[]
}

/** The envelope of a policy. @param now milliseconds since the epoch. @throws KeylimeError `usage`, `already_exists`, or what the key's file causes. */
export async function signRuntimePolicy(policy: string | Buffer, options: SigningOptions, now: number): Promise<SignedPolicy> {
  const { backend, certOutfile } = options
  if (options.key && options.keypath)
    throw new KeylimeError('usage', 'either read a key or make one', { hint: 'give --key FILE or --keypath FILE' })
  if (backend === 'x509' && !certOutfile)
    throw new KeylimeError('usage', 'the back end x509 makes a certificate, but you have not said where', {
      hint: 'give --cert-outfile FILE',
    })
  const { key, files } = options.key ? { key: readSigningKey(await readFile(options.key)), files: [] } : makeKey(options)
  if (backend === 'ecdsa') return { envelope: signPolicy(policy, key, ecdsaKeyId(key)), files }
  const { pem } = await makeSelfSigned({
    commonName: CERTIFICATE_NAME,
    publicKey: createPublicKey(key),
    privateKey: key,
    serial: BigInt(`0x${randomBytes(19).toString('hex')}`) || 1n,
    alternativeNames: [{ type: 'dns', value: CERTIFICATE_NAME }],
    endEntity: true,
    notBefore: now - DAY_MS,
    notAfter: now + 30 * DAY_MS,
  })
  const text = pem.endsWith('\n') ? pem : `${pem}\n`
  return { envelope: signPolicy(policy, key, x509KeyId(text)), files: [...files, { file: certOutfile!, data: text, mode: 0o644 }] }
}

/** A new key, for its owner alone; its public half beside it, which is what verifies. */
function makeKey({ keypath, upstream }: SigningOptions): { key: KeyObject; files: FileToWrite[] } {
  if (!keypath) throw new KeylimeError('usage', 'a key to sign with is needed', { hint: 'give --key FILE, or --keypath FILE to make one' })
  if (!upstream && fs.existsSync(keypath))
    throw new KeylimeError('already_exists', `${keypath} already exists: a new key would replace it`, {
      hint: `give --key ${keypath} to sign with it, or another --keypath`,
    })
  const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  const files = [{ file: keypath, data: privateKey.export({ type: 'sec1', format: 'pem' }), mode: 0o600 }]
  if (!upstream) files.push({ file: `${keypath}.pub`, data: publicKey.export({ type: 'spki', format: 'pem' }), mode: 0o644 })
  return { key: privateKey, files }
}
