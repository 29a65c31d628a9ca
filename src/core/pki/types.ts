import type { KeyObject } from 'node:crypto'
import type { DistinguishedName } from './names.ts'
import type { SignatureAlgorithm } from './signature-algorithm.ts'

export interface Extension {
  readonly critical: boolean
  /** Content of the OCTET STRING: DER of the extension's own type. */
  readonly value: Buffer
}

/** An X.509 certificate as it was received: every part that a signature covers is the original bytes, never an encoding of ours. */
export interface Certificate {
  /** The bytes received, with whatever stood behind the certificate. Compare and store these. */
  readonly der: Buffer
  /** Of the certificate proper, without such bytes. */
  readonly pem: string
  /** TBSCertificate, what the issuer signed. */
  readonly tbs: Buffer
  readonly signature: Buffer
  /** Undefined when nobody here can check it. */
  readonly signatureAlgorithm: SignatureAlgorithm | undefined
  readonly version: number
  readonly serial: bigint
  /** RFC 4514 text, RDNs in reverse order. */
  readonly subject: string
  readonly issuer: string
  readonly subjectName: DistinguishedName
  readonly issuerName: DistinguishedName
  /** Milliseconds since the epoch, both included. */
  readonly notBefore: number
  readonly notAfter: number
  readonly publicKey: KeyObject
  /** SubjectPublicKeyInfo, DER, as it stands in the certificate. */
  readonly spki: Buffer
  /** By dotted OID. */
  readonly extensions: ReadonlyMap<string, Extension>
  /** The bytes are strict DER. */
  readonly strict: boolean
  /** Why they are not. */
  readonly defect: string | undefined
}
