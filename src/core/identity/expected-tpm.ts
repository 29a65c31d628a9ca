import { createHash } from 'node:crypto'
import type { UnknownTpm } from '../api/unknown-tpm.ts'
import { KeylimeError } from '../errors.ts'
import { toPem } from '../pki/certificate.ts'
import type { Certificate } from '../pki/types.ts'
import { spkiOf } from '../spki.ts'
import { type PublicArea, parsePublicArea } from '../tpm/public-area.ts'

/** What an operator knows of a TPM before it registers: a hash of its EK, or the serial of its EK certificate. In hex, without separators. */
export interface TpmMark {
  readonly kind: 'ek_hash' | 'serial'
  readonly digits: string
}

/** What an operator decided about a TPM. */
export interface ExpectedTpm extends TpmMark {
  /** `refused`: it may not register, whatever else is said of it. */
  readonly verdict: 'expected' | 'refused'
  /** The only id that it may take; null for any. */
  readonly agentId: string | null
  readonly note: string
  /** Milliseconds since the epoch. */
  readonly addedAt: number
  /** The common name of the operator's certificate. */
  readonly addedBy: string
}

/** As much of it as counts when its TPM asks. */
export type Decision = Pick<ExpectedTpm, 'kind' | 'verdict' | 'agentId'>

/** `refused`, for people. */
export type Admission = { readonly outcome: 'admitted' | 'waits' } | { readonly outcome: 'refused'; readonly reason: string }

export interface AdmissionQuestion {
  readonly agentId: string
  /** This TPM is registered under this id already. */
  readonly isRegistered: boolean
  /** Decisions about this TPM, by whichever of its marks. */
  readonly ofTpm: readonly Decision[]
  /** A TPM is expected under this id. */
  readonly isIdExpected: boolean
  readonly unknown: UnknownTpm
}

/** Whether a TPM may register under an id. An id that is expected of one TPM is never given to another, whatever `unknown_tpm` says. */
export function judgeAdmission({ agentId, isRegistered, ofTpm, isIdExpected, unknown }: AdmissionQuestion): Admission {
  if (ofTpm.some(({ verdict }) => verdict === 'refused')) return refused('an operator refused this TPM')
  if (isRegistered) return { outcome: 'admitted' }
  const expected = ofTpm.filter(({ verdict }) => verdict === 'expected')
  if (expected.some((one) => one.agentId === agentId)) return { outcome: 'admitted' }
  if (isIdExpected) return refused(`another TPM is expected under the id ${agentId}`)
  if (expected.some((one) => one.agentId === null)) return { outcome: 'admitted' }
  if (unknown === 'approve') return { outcome: 'waits' }
  if (expected.length > 0) return refused('this TPM is expected under another id')
  return unknown === 'accept'
    ? { outcome: 'admitted' }
    : refused('nobody expects this TPM, and the registrar takes only those that are expected')
}

const refused = (reason: string): Admission => ({ outcome: 'refused', reason })

const sha256 = (bytes: string | Uint8Array) => createHash('sha256').update(bytes).digest('hex')

/** SHA-256 of a public key, DER: the hash that we show. */
export const keyHash = (spki: Buffer): string => sha256(spki)

/**
 * The hashes by which a TPM is known: of its EK's key as DER and as PEM (the id of `uuid = hash_ek`, protocol 2.3), and of its public area, as in the name that TPM tools show. Each of them stands for the
 * key alone, so that it does not matter which one an operator has. @param ek TPM2B_PUBLIC
 */
export const ekHashes = (ek: Buffer): string[] => hashesOfEk(parsePublicArea(ek))

/** The same of an EK that was read. */
export function hashesOfEk({ key, bytes }: PublicArea): string[] {
  const spki = spkiOf(key)
  return [keyHash(spki), sha256(toPem(spki, 'PUBLIC KEY')), sha256(bytes)]
}

/** All marks of a TPM. @param hashes of its EK. @param certificate of its EK: its serial stands for the TPM only when a maker whom we trust issued it. */
export const marksOfTpm = (hashes: readonly string[], certificate: Certificate | null): TpmMark[] => [
  ...hashes.map((digits) => ({ kind: 'ek_hash', digits }) as const),
  ...(certificate ? [{ kind: 'serial', digits: serialDigits(certificate) } as const] : []),
]

/** A certificate's serial as OpenSSL shows it, in lower case. */
export const serialDigits = ({ serial }: Pick<Certificate, 'serial'>): string => serial.toString(16)

/** TPMI_ALG_HASH of SHA-256, with which the name of an EK begins. */
const NAME_ALGORITHM = '000b'

/** @throws KeylimeError `invalid_request` for what is not a SHA-256 hash in hex. */
export function parseEkHash(text: string): string {
  const digits = hexDigits(text.replace(/^sha256[:=]/i, ''))
  const hash = digits.length === 68 && digits.startsWith(NAME_ALGORITHM) ? digits.slice(NAME_ALGORITHM.length) : digits
  if (/^[0-9a-f]{64}$/.test(hash)) return hash
  throw new KeylimeError('invalid_request', 'the hash of an EK has 64 hex digits (SHA-256)', {
    hint: '`keylime tenant ekroots check FILE` shows it for an EK certificate; an id made by uuid = hash_ek is one too',
  })
}

/** RFC 5280, section 4.1.2.2: 20 octets. */
export const MAX_SERIAL_DIGITS = 40

/** @throws KeylimeError `invalid_request` for what is not a serial in hex. */
export function parseSerial(text: string): string {
  const digits = hexDigits(text).replace(/^0+(?=.)/, '')
  if (/^[0-9a-f]+$/.test(digits) && digits.length <= MAX_SERIAL_DIGITS) return digits
  throw new KeylimeError('invalid_request', `a serial has 1 to ${MAX_SERIAL_DIGITS} hex digits`, {
    hint: 'as `openssl x509 -noout -serial` shows it for the EK certificate',
  })
}

const hexDigits = (text: string) => text.trim().replace(/^0x/i, '').replaceAll(':', '').toLowerCase()
