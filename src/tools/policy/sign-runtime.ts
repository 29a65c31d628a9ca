import { createPublicKey, generateKeyPairSync, type KeyObject } from 'node:crypto'
import fs from 'node:fs'
import { KeylimeError } from '../../core/errors.ts'
import { ecdsaKeyId, readSigningKey, signPolicy, x509KeyId } from '../../core/ima/sign-policy.ts'
import { makeSelfSigned } from '../../core/pki/issue.ts'
import { writeFileAtomic } from '../../io/files/atomic-file.ts'
import { readFile } from '../../io/files/read-file.ts'
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

/** The envelope of a policy. @param now milliseconds since the epoch. @throws KeylimeError `usage`, `already_exists`, or what the key's file causes. */
export async function signRuntimePolicy(policy: string | Buffer, options: SigningOptions, now: number): Promise<string> {
  const { backend, certOutfile } = options
  if (options.key && options.keypath)
    throw new KeylimeError('usage', 'either read a key or make one', { hint: 'give --key FILE or --keypath FILE' })
  if (backend === 'x509' && !certOutfile)
    throw new KeylimeError('usage', 'the back end x509 makes a certificate, but you have not said where', {
      hint: 'give --cert-outfile FILE',
    })
  const key = options.key ? readSigningKey(await readFile(options.key)) : await makeKey(options)
  if (backend === 'ecdsa') return signPolicy(policy, key, ecdsaKeyId(key))
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
  await writeFileAtomic(certOutfile!, text, 0o644)
  return signPolicy(policy, key, x509KeyId(text))
}

/** A new key, for its owner alone; its public half beside it, which is what verifies. */
async function makeKey({ keypath, upstream }: SigningOptions): Promise<KeyObject> {
  if (!keypath) throw new KeylimeError('usage', 'a key to sign with is needed', { hint: 'give --key FILE, or --keypath FILE to make one' })
  if (!upstream && fs.existsSync(keypath))
    throw new KeylimeError('already_exists', `${keypath} already exists: a new key would replace it`, {
      hint: `give --key ${keypath} to sign with it, or another --keypath`,
    })
  const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  await writeFileAtomic(keypath, privateKey.export({ type: 'sec1', format: 'pem' }), 0o600)
  if (!upstream) await writeFileAtomic(`${keypath}.pub`, publicKey.export({ type: 'spki', format: 'pem' }), 0o644)
  return privateKey
}
