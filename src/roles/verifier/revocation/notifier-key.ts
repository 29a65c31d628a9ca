import { createPublicKey, type KeyObject } from 'node:crypto'
import path from 'node:path'
import { isKeylimeError, KeylimeError } from '../../../core/errors.ts'
import { makeSelfSigned } from '../../../core/pki/issue.ts'
import { makeKeyPair, privateKeyPem, readPrivateKey, sameKey } from '../../../core/pki/keys.ts'
import { parseSingleCertificate } from '../../../core/pki/single-certificate.ts'
import { signRevocation } from '../../../core/revocation/signature.ts'
import { writeFileAtomic } from '../../../io/files/atomic-file.ts'
import { readText } from '../../../io/files/read-file.ts'
import { randomBytes } from '../../../io/random.ts'

/** What a verifier signs its notices with, whatever came with an enrolment. */
export interface NotifierKey {
  /** PEM: what receivers verify with. */
  readonly certificate: string
  sign(text: string): string
}

const NOTIFIER_KEY_FILE = 'notifier-private.pem'
const NOTIFIER_CERTIFICATE_FILE = 'notifier-cert.crt'

/** RFC 5280, section 4.1.2.5: no end that means anything. Receivers pin the key; a date would only silence them some day. */
const NO_END = Date.UTC(9999, 11, 31, 23, 59, 59)
const BACK_MS = 5 * 60_000

/**
 * The verifier's own notifier key, made at the first start and kept in its state directory: readable for its user alone, in no key store whose password
 * somebody could guess. A certificate that is missing is made anew for the key. @throws KeylimeError `malformed` for a key that is none, `file_failed`.
 */
export async function openNotifierKey(keylimeDir: string, now: number): Promise<NotifierKey> {
  const keyFile = path.join(keylimeDir, NOTIFIER_KEY_FILE)
  const certificateFile = path.join(keylimeDir, NOTIFIER_CERTIFICATE_FILE)
  const key = (await readKey(keyFile)) ?? (await newKey(keyFile))
  const certificate = (await readCertificate(certificateFile, key)) ?? (await newCertificate(certificateFile, { key, now }))
  return { certificate, sign: (text) => signRevocation(key, text) }
}

/** For `--check-config`: whether the key that is there can be used; nothing is made. @throws KeylimeError as `openNotifierKey`. */
export async function checkNotifierKey(keylimeDir: string): Promise<void> {
  await readKey(path.join(keylimeDir, NOTIFIER_KEY_FILE))
}

async function readKey(file: string): Promise<KeyObject | null> {
  const pem = await readIfThere(file, true)
  if (pem === null) return null
  try {
    const key = readPrivateKey(pem)
    if (key.asymmetricKeyType === 'rsa') return key
  } catch (cause) {
    throw unusable(file, cause)
  }
  throw unusable(file)
}

const unusable = (file: string, cause?: unknown) =>
  new KeylimeError('malformed', `${file} is not the private key of a notifier`, {
    cause,
    hint: 'restore it from a backup, or remove it: the verifier makes another, and tells every machine that answers',
  })

async function newKey(file: string): Promise<KeyObject> {
  const { privateKey } = await makeKeyPair({ type: 'rsa', bits: 2048 })
  await writeFileAtomic(file, privateKeyPem(privateKey), 0o600)
  return privateKey
}

/** Null when there is none, or it is of another key. */
async function readCertificate(file: string, key: KeyObject): Promise<string | null> {
  const pem = await readIfThere(file)
  if (pem === null) return null
  try {
    return sameKey(parseSingleCertificate(pem, file).publicKey, createPublicKey(key)) ? pem : null
  } catch {
    return null
  }
}

async function newCertificate(file: string, { key, now }: { key: KeyObject; now: number }): Promise<string> {
  const { pem } = await makeSelfSigned({
    commonName: 'RevocationNotifier',
    publicKey: createPublicKey(key),
    privateKey: key,
    serial: BigInt(`0x00${randomBytes(15).toString('hex')}`) + 1n,
    notBefore: now - BACK_MS,
    notAfter: NO_END,
    alternativeNames: [],
    endEntity: true,
  })
  await writeFileAtomic(file, pem, 0o644)
  return pem
}

async function readIfThere(file: string, isSecret = false): Promise<string | null> {
  try {
    return await readText(file, { isSecret })
  } catch (error) {
    if (isKeylimeError(error) && error.code === 'not_found') return null
    throw error
  }
}
