import { createPublicKey } from 'node:crypto'
import path from 'node:path'
import { parseCertificate } from '../core/pki/certificate.ts'
import { isDue } from '../core/pki/certificate-dates.ts'
import { isSignedBy } from '../core/pki/chain.ts'
import { crlAddressesOf } from '../core/pki/extensions.ts'
import { type KeyKind, type KeyPair, makeKeyPair, readPrivateKey } from '../core/pki/keys.ts'
import type { Certificate } from '../core/pki/types.ts'
import { readText } from '../io/files/read-file.ts'
import { exists } from './ca-access.ts'
import type { OpenAuthority } from './open-authority.ts'

/** Whose certificate verifies revocations (protocol 6.2). */
export const NOTIFIER = 'RevocationNotifier'
/** Whatever the authority's own keys are: notifications are signed with RSASSA-PSS. */
const NOTIFIER_KEY: KeyKind = { type: 'rsa', bits: 2048 }

export interface OwnCertificate {
  readonly certificate: Certificate
  /** Unencrypted PEM. */
  readonly key: string
}

/** The certificate of that name as it is in the directory, or a new one: when there is none, it was revoked, two thirds of its life are over, the list has another address now, or the authority before has signed it. */
export async function currentCertificate(authority: OpenAuthority, name: string): Promise<OwnCertificate> {
  const { access } = authority
  const key = authority.privateKeyOf(name)
  const file = path.join(access.directory, `${name}-cert.crt`)
  const certificate = (await exists(file)) ? parseCertificate(await readText(file)) : undefined
  const revoked = certificate && authority.revokedSerials.includes(certificate.serial.toString())
  const isMoved = certificate !== undefined && (crlAddressesOf(certificate)[0] ?? '') !== access.settings.crlUrl
  const isOfBefore = certificate !== undefined && !isSignedBy(certificate, authority.certificate)
  if (key && certificate && !revoked && !isMoved && !isOfBefore && isGood(certificate, access.now())) return { certificate, key }
  const issued = await authority.issue({ name, keys: await newKeys(name, revoked ? undefined : key, access.settings.keyKind) })
  if (issued.privateKeyPem === undefined) throw new TypeError('unreachable: a key pair was given')
  return { certificate: issued.certificate, key: issued.privateKeyPem }
}

const LEAST_LIFE_MS = 86_400_000

/** Also of one that was made for a few days, and is younger than two thirds of them. */
const isGood = (certificate: Certificate, now: number) => !isDue(certificate, now) && certificate.notAfter > now + LEAST_LIFE_MS

/** A notifier whose certificate ran out keeps its key: verifiers sign with it for the machines that were added before. */
async function newKeys(name: string, old: string | undefined, kind: KeyKind): Promise<KeyPair> {
  if (name !== NOTIFIER) return makeKeyPair(kind)
  const privateKey = old === undefined ? undefined : readPrivateKey(old)
  return privateKey?.asymmetricKeyType === 'rsa' ? { privateKey, publicKey: createPublicKey(privateKey) } : makeKeyPair(NOTIFIER_KEY)
}
