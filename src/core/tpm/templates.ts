import { type CurveName, curveNamed, type HashName, hashAlgOf, TPM_ALG } from './algorithms.ts'
import { sized, u16, u32 } from './byte-writer.ts'

/** Key kinds by Keylime's full algorithm names. */
export type KeyKind = 'rsa2048' | 'rsa3072' | 'rsa4096' | 'ecc256' | 'ecc384' | 'ecc521'

/** What the words of `tpm_encryption_alg` mean. */
export const KEY_KINDS = {
  rsa: 'rsa2048',
  rsa2048: 'rsa2048',
  rsa3072: 'rsa3072',
  ecc: 'ecc256',
  ecc256: 'ecc256',
  ecc_nist_p256: 'ecc256',
  ecc384: 'ecc384',
  ecc_nist_p384: 'ecc384',
  ecc521: 'ecc521',
  ecc_nist_p521: 'ecc521',
} as const satisfies Record<string, KeyKind>

/** Signature schemes of attestation keys, by Keylime's names. */
export type SigningName = 'rsassa' | 'rsapss' | 'ecdsa'

export interface KeyTemplate {
  /** Marshalled TPM2B_PUBLIC, to be given to TPM2_CreatePrimary or TPM2_Create. */
  public: Buffer
  nameAlg: HashName
  /** For keys whose use wants TPM2_PolicyOR after TPM2_PolicySecret: its branches, in order. */
  policyOr: Buffer[]
}

const CURVE_OF: Partial<Record<KeyKind, CurveName>> = { ecc256: 'P-256', ecc384: 'P-384', ecc521: 'P-521' }
const RSA_BITS: Partial<Record<KeyKind, number>> = { rsa2048: 2048, rsa3072: 3072, rsa4096: 4096 }

const EMPTY = Buffer.alloc(0)
const NULL_ALG = u16(TPM_ALG.NULL)
const hex = (text: string) => Buffer.from(text, 'hex')

// TCG EK Credential Profile 2.5, annex B: PolicyA = PolicySecret(endorsement), PolicyC = PolicyAuthorizeNV, PolicyB = PolicyOR(A, C).
const POLICY_A_SHA256 = hex('837197674484b3f81a90cc8d46a5d724fd52d76e06520b64f2a1da1b331469aa')
const HIGH_RANGE: Partial<Record<HashName, { a: Buffer; b: Buffer; c: Buffer }>> = {
  sha384: {
    a: hex('8bbf2266537c171cb56e403c4dc1d4b64f432611dc386e6f532050c3278c930e143e8bb1133824ccb431053871c6db53'),
    b: hex('b26e7d28d11a50bc53d882bcf5fd3a1a074148bb35d3b4e4cb1c0ad9bde419cacb47ba09699646150f9fc000f3f80e12'),
    c: hex('d6032ce61f2fb3c240eb3cf6a33237ef2b6a16f4293c22b455e261cffd217ad5b4947c2d73e63005eed2dc2b3593d165'),
  },
  sha512: {
    a: hex(
      '1e3b76502c8a1425aa0b7b3fc646a1b0fae063b03b5368f9c4cddecaff0891dd682bac1a85d4d832b781ea451915de5fc5bf0dc4a1917cd42fa041e3f998e0ee',
    ),
    b: hex(
      'b8221ca69e8550a4914de3faa6a18c072cc01208073a928d5d66d59ef79e49a429c41a6b269571d57edb25fbdb1838425608b413cd616a5f6db5b6071af99bea',
    ),
    c: hex(
      '589ee1e146544716e8deafe6db247b01b81e9f9c7dd16b814aa159138749105fba5388dd1dea702f35240c184933121e2c61b8f50d3ef91393a49a38c3f73fc8',
    ),
  },
}

const HIGH_RANGE_NAME: Partial<Record<KeyKind, HashName>> = { ecc384: 'sha384', ecc521: 'sha512', rsa3072: 'sha384' }

const symmetric = (bits: number) => Buffer.concat([u16(TPM_ALG.AES), u16(bits), u16(TPM_ALG.CFB)])

/**
 * Endorsement key template (TCG EK Credential Profile 2.5): low range for RSA-2048 and P-256, high range for P-384, P-521 and RSA-3072.
 * @returns null for kinds without a template here.
 */
export function ekTemplate(kind: KeyKind): KeyTemplate | null {
  if (kind === 'rsa2048' || kind === 'ecc256') {
    const unique = kind === 'rsa2048' ? sized(Buffer.alloc(256)) : Buffer.concat([sized(Buffer.alloc(32)), sized(Buffer.alloc(32))])
    return {
      public: publicArea({ kind, nameAlg: 'sha256', attributes: 0x000300b2, policy: POLICY_A_SHA256, aesBits: 128, unique }),
      nameAlg: 'sha256',
      policyOr: [],
    }
  }
  const nameAlg = HIGH_RANGE_NAME[kind]
  const policies = nameAlg && HIGH_RANGE[nameAlg]
  if (!policies) return null
  const area = publicArea({ kind, nameAlg, attributes: 0x000300f2, policy: policies.b, aesBits: 256, unique: emptyUnique(kind) })
  return { public: area, nameAlg, policyOr: [policies.a, policies.c] }
}

/** Attestation key: restricted signing key, created under the EK (protocol 2.5). */
export function akTemplate(kind: KeyKind, hash: HashName, signing: SigningName): KeyTemplate {
  const scheme = { algorithm: SCHEMES[signing], hash }
  const unique = emptyUnique(kind)
  return {
    public: publicArea({ kind, nameAlg: 'sha256', attributes: 0x00050072, policy: EMPTY, scheme, unique }),
    nameAlg: 'sha256',
    policyOr: [],
  }
}

const SCHEMES: Record<SigningName, number> = { rsassa: TPM_ALG.RSASSA, rsapss: TPM_ALG.RSAPSS, ecdsa: TPM_ALG.ECDSA }

const emptyUnique = (kind: KeyKind) => (kind.startsWith('rsa') ? sized(EMPTY) : Buffer.concat([sized(EMPTY), sized(EMPTY)]))

interface Shape {
  kind: KeyKind
  nameAlg: HashName
  attributes: number
  policy: Buffer
  /** Marshalled TPMU_PUBLIC_ID. */
  unique: Buffer
  aesBits?: number
  scheme?: { algorithm: number; hash: HashName }
}

/** A marshalled TPM2B_PUBLIC of an asymmetric key. */
export function publicArea(shape: Shape): Buffer {
  const curve = CURVE_OF[shape.kind]
  const scheme = shape.scheme ? Buffer.concat([u16(shape.scheme.algorithm), u16(hashAlgOf(shape.scheme.hash))]) : NULL_ALG
  const detail = curve ? Buffer.concat([u16(curveNamed(curve).id), NULL_ALG]) : Buffer.concat([u16(RSA_BITS[shape.kind]!), u32(0)])
  return sized(
    Buffer.concat([
      u16(curve ? TPM_ALG.ECC : TPM_ALG.RSA),
      u16(hashAlgOf(shape.nameAlg)),
      u32(shape.attributes),
      sized(shape.policy),
      shape.aesBits ? symmetric(shape.aesBits) : NULL_ALG,
      scheme,
      detail,
      shape.unique,
    ]),
  )
}
