import { createHash, generateKeyPairSync, type KeyObject, sign } from 'node:crypto'
import { dataPcrValue } from '../src/core/quote/data-pcr.ts'
import { encodePcrBlob } from '../src/core/quote/pcr-blob.ts'
import { digestSize, type HashName, hashAlgOf, TPM_ALG } from '../src/core/tpm/algorithms.ts'
import { sized, u16, u32, u64 } from '../src/core/tpm/byte-writer.ts'
import { pcrMask } from '../src/core/tpm/pcr-selection.ts'
import { akTemplate } from '../src/core/tpm/templates.ts'
import { rsaKeyPair } from './rsa-keys.ts'

/** An attestation key in software: it signs whatever a test wants, also what no TPM would. */
export interface SoftwareAk {
  type: 'rsa' | 'ecc'
  /** TPM2B_PUBLIC with the attributes of a real AK, unless a test changes them. */
  public: Buffer
  privateKey: KeyObject
}

export function softwareAk(type: 'rsa' | 'ecc', attributes = 0x00050072): SoftwareAk {
  const pair = type === 'rsa' ? rsaKeyPair() : generateKeyPairSync('ec', { namedCurve: 'P-256' })
  const jwk = pair.publicKey.export({ format: 'jwk' })
  const template = akTemplate(type === 'rsa' ? 'rsa2048' : 'ecc256', 'sha256', type === 'rsa' ? 'rsassa' : 'ecdsa').public.subarray(2)
  const bytes = (text: string | undefined) => Buffer.from(text!, 'base64url')
  const unique = type === 'rsa' ? sized(bytes(jwk.n)) : Buffer.concat([sized(bytes(jwk.x)), sized(bytes(jwk.y))])
  const area = Buffer.concat([template.subarray(0, template.length - (type === 'rsa' ? 2 : 4)), unique])
  area.writeUInt32BE(attributes, 4)
  return { type, public: sized(area), privateKey: pair.privateKey }
}

/** What a test may have otherwise in a signing key's public area. */
export interface AreaChanges {
  attributes?: number
  nameAlg?: number
  /** TPM_ALG_ID and hash; null for none. */
  scheme?: [algorithm: number, hash: number] | null
  bits?: number
  exponent?: number
  /** Zero bytes in front of the modulus, which is said to be so much longer. */
  zeros?: number
}

/** TPM2B_PUBLIC of a signing key as no TPM of ours makes one. */
export function oddRsaArea({ attributes = 0x00050072, nameAlg = TPM_ALG.SHA256, bits = 2048, zeros = 0, ...changes }: AreaChanges): Buffer {
  const { exponent = 65_537, scheme = [TPM_ALG.RSASSA, TPM_ALG.SHA256] } = changes
  const { publicKey } = bits === 2048 ? rsaKeyPair() : generateKeyPairSync('rsa', { modulusLength: bits })
  const jwk = publicKey.export({ format: 'jwk' }) // of any exponent: nothing is signed with it
  const modulus = Buffer.concat([Buffer.alloc(zeros), Buffer.from(jwk.n!, 'base64url')])
  const schemeBytes = scheme ? Buffer.concat(scheme.map(u16)) : u16(TPM_ALG.NULL)
  const head = Buffer.concat([u16(TPM_ALG.RSA), u16(nameAlg), u32(attributes), sized(Buffer.alloc(0)), u16(TPM_ALG.NULL), schemeBytes])
  return sized(Buffer.concat([head, u16(modulus.length * 8), u32(exponent), sized(modulus)]))
}

export interface QuoteParts {
  nonce: Buffer
  hash?: HashName
  values: Map<number, Buffer>
  magic?: number
  attestType?: number
  /** PCRs in the signed selection, where they shall differ from those of `values`. */
  signedPcrs?: number[]
  signedHash?: HashName
  pcrDigest?: Buffer
  clock?: bigint
  resetCount?: number
  restartCount?: number
  safe?: number
  /** Appended to the signed structure. */
  trailing?: Buffer
  selections?: number
  /** Bytes of a selection, where they shall be more than a TPM has. */
  selectBytes?: number
}

/** A quote over `values`, with any part of it replaced. */
export function softwareQuote(ak: SoftwareAk, parts: QuoteParts): { attest: Buffer; signature: Buffer; blob: Buffer; text: string } {
  const hash = parts.hash ?? 'sha256'
  const pcrs = parts.signedPcrs ?? [...parts.values.keys()]
  const digest = createHash(hash)
  for (const value of parts.values.values()) digest.update(value)
  const select = Buffer.alloc(parts.selectBytes ?? 3)
  select.writeUIntLE(pcrMask(pcrs), 0, 3)
  const selection = Buffer.concat([u16(hashAlgOf(parts.signedHash ?? hash)), Buffer.from([select.length]), select])
  const count = parts.selections ?? 1
  const attest = Buffer.concat([
    u32(parts.magic ?? 0xff544347),
    u16(parts.attestType ?? 0x8018),
    sized(Buffer.alloc(34)),
    sized(parts.nonce),
    u64(parts.clock ?? 1000n),
    u32(parts.resetCount ?? 1),
    u32(parts.restartCount ?? 0),
    Buffer.from([parts.safe ?? 1]),
    u64(1n),
    u32(count),
    ...Array.from({ length: count }, () => selection),
    sized(parts.pcrDigest ?? digest.digest()),
    parts.trailing ?? Buffer.alloc(0),
  ])
  const signature = signLikeTpm(ak, attest, hash)
  const blob = encodePcrBlob({ hash, values: parts.values })
  return { attest, signature, blob, text: quoteText(attest, signature, blob) }
}

export interface CertifyParts {
  /** TPM name of the certified key. */
  name: Buffer
  qualifyingData: Buffer
  magic?: number
  attestType?: number
  trailing?: Buffer
}

/** A TPM2_Certify statement of `signer`, with any part of it replaced. */
export function softwareCertify(signer: SoftwareAk, parts: CertifyParts): { attest: Buffer; signature: Buffer } {
  const attest = Buffer.concat([
    u32(parts.magic ?? 0xff544347),
    u16(parts.attestType ?? 0x8017),
    sized(Buffer.alloc(34)),
    sized(parts.qualifyingData),
    u64(1000n),
    u32(1),
    u32(0),
    Buffer.from([1]),
    u64(1n),
    sized(parts.name),
    sized(Buffer.alloc(34)),
    parts.trailing ?? Buffer.alloc(0),
  ])
  return { attest, signature: signLikeTpm(signer, attest) }
}

export const quoteText = (attest: Buffer, signature: Buffer, blob: Buffer): string =>
  `r${[attest, signature, blob].map((part) => part.toString('base64')).join(':')}`

/** A TPMT_SIGNATURE over `data`. */
export function signLikeTpm(ak: SoftwareAk, data: Buffer, hash: HashName = 'sha256'): Buffer {
  const head = Buffer.concat([u16(ak.type === 'rsa' ? TPM_ALG.RSASSA : TPM_ALG.ECDSA), u16(hashAlgOf(hash))])
  if (ak.type === 'rsa') return Buffer.concat([head, sized(sign(hash, data, ak.privateKey))])
  const p1363 = sign(hash, data, { key: ak.privateKey, dsaEncoding: 'ieee-p1363' })
  return Buffer.concat([head, sized(p1363.subarray(0, 32)), sized(p1363.subarray(32))])
}

/** PCR values as an agent with this transport key quotes them: zeros, and 16 as it must be. */
export function pcrValues(pcrs: readonly number[], transportKey: string, hash: HashName = 'sha256'): Map<number, Buffer> {
  const value = (pcr: number) => (pcr === 16 ? dataPcrValue(hash, transportKey) : Buffer.alloc(digestSize(hash)))
  return new Map(pcrs.map((pcr) => [pcr, value(pcr)]))
}
