import { createPublicKey, generateKeyPairSync, type KeyObject, sign } from 'node:crypto'
import { toPem } from '../../core/pki/certificate.ts'
import { makeAuthority, makeSelfSigned } from '../../core/pki/issue.ts'
import { makeKeyPair, privateKeyPem } from '../../core/pki/keys.ts'
import type { Certificate } from '../../core/pki/types.ts'

/** PEM texts. */
export interface MachineCertificate {
  cert: string
  key: string
}

const DAY_MS = 86_400_000

/**
 * Self-signed certificates of thousands of machines, each with a key of its own: one is made by the library, and the others from it by another key and a new signature, which
 * takes a twentieth of the time. @param now milliseconds since the epoch.
 */
export async function machineCertificates(now: number): Promise<() => MachineCertificate> {
  const pair = await makeKeyPair({ type: 'ecdsa' })
  const made = await makeSelfSigned({ commonName: 'lab machine', ...pair, serial: 1n, ...timesAt(now), alternativeNames: [] })
  const copy = copiesOf(made)
  return () => {
    const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
    return { cert: toPem(copy(publicKey, privateKey)), key: privateKeyPem(privateKey) }
  }
}

/** A maker of TPMs. */
export interface LabMaker {
  /** PEM, for `tpm_cert_store`. */
  readonly certificate: string
  /** @returns DER of a certificate for an endorsement key of a P-256 TPM. */
  certify(ek: KeyObject): Buffer
}

/** @param now milliseconds since the epoch. */
export async function labMaker(now: number): Promise<LabMaker> {
  const pair = await makeKeyPair({ type: 'ecdsa' })
  const subject = [{ oid: '2.5.4.3', value: 'lab maker' }]
  const maker = await makeAuthority({ subject, ...pair, serial: 1n, ...timesAt(now), crlUrl: '', givesRoles: false })
  const made = await makeSelfSigned({
    commonName: 'lab maker',
    ...pair,
    serial: 2n,
    ...timesAt(now),
    alternativeNames: [],
    endEntity: true,
  })
  const copy = copiesOf(made)
  return { certificate: maker.pem, certify: (ek) => copy(ek, pair.privateKey) }
}

const timesAt = (now: number) => ({ notBefore: now - DAY_MS, notAfter: now + 30 * DAY_MS })

/** The same certificate for other keys of its kind. */
function copiesOf({ tbs, spki, der, signature }: Certificate): (publicKey: KeyObject, signer: KeyObject) => Buffer {
  const keyAt = tbs.indexOf(spki)
  const algorithm = algorithmBetween(der, tbs, signature)
  return (publicKey, signer) => {
    const signed = Buffer.from(tbs)
    publicKey.export({ format: 'der', type: 'spki' }).copy(signed, keyAt)
    const value = sign('sha256', signed, signer)
    return element(0x30, Buffer.concat([signed, algorithm, element(0x03, Buffer.concat([Buffer.alloc(1), value]))]))
  }
}

/** What stands between the signed part and the signature. */
function algorithmBetween(der: Buffer, tbs: Buffer, signature: Buffer): Buffer {
  const from = der.indexOf(tbs) + tbs.length
  const end = der.indexOf(signature)
  const bitString = element(0x03, Buffer.concat([Buffer.alloc(1), signature]))
  return der.subarray(from, end - (bitString.length - signature.length))
}

/** DER with lengths below 65,536. */
function element(tag: number, content: Buffer): Buffer {
  const { length } = content
  const size = length < 0x80 ? [length] : length < 0x100 ? [0x81, length] : [0x82, length >> 8, length & 0xff]
  return Buffer.concat([Buffer.from([tag, ...size]), content])
}

/** A transport key for all machines: nothing is delivered to them. */
export function transportKey(): string {
  const { publicKey }: { publicKey: KeyObject } = generateKeyPairSync('rsa', { modulusLength: 2048 })
  return createPublicKey(publicKey.export({ format: 'pem', type: 'spki' })).export({ format: 'pem', type: 'spki' }) as string
}
