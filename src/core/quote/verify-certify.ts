import { timingSafeEqual } from 'node:crypto'
import { isKeylimeError } from '../errors.ts'
import { parseCertifyAttest } from '../tpm/attest.ts'
import type { PublicArea } from '../tpm/public-area.ts'
import { parseSignature, verifySignature } from '../tpm/signature.ts'

export interface Certification {
  /** The key that signed: an IAK, or the AK itself. */
  signer: PublicArea
  /** TPM name of the key that must have been certified. */
  subjectName: Buffer
  attest: Uint8Array
  signature: Uint8Array
  /** Any one of these must be the qualifying data. */
  qualifyingData: readonly Buffer[]
}

/** Checks a TPM2_Certify statement (protocol 2.8). @returns undefined when it holds, else what is wrong. */
export function certifyDefect({ signer, subjectName, attest, signature, qualifyingData }: Certification): string | undefined {
  try {
    const signed = parseSignature(signature)
    if (signed.hash === 'sha1') return 'it is signed with SHA-1'
    if (!verifySignature(signer, attest, signed)) return 'the signature does not verify'
    const { extraData, name } = parseCertifyAttest(attest)
    if (!qualifyingData.some((data) => sameBytes(data, extraData))) return 'it was made for another agent id or challenge'
    return sameBytes(name, subjectName) ? undefined : 'it certifies another key'
  } catch (error) {
    if (!isKeylimeError(error)) throw error
    return error.message
  }
}

const sameBytes = (a: Buffer, b: Buffer) => a.length === b.length && timingSafeEqual(a, b)
