import { sign } from 'node:crypto'
import { u16 } from '../../src/core/tpm/byte-writer.ts'
import { pcrValues, type SoftwareAk, softwareQuote } from '../software-ak.ts'

/** Where a TPMS_ATTEST of ours has them: behind magic, type and a name of 34 bytes. */
const CHALLENGE_AT = 44
const CHALLENGE_BYTES = 16
const CLOCK_AT = CHALLENGE_AT + CHALLENGE_BYTES
/** `TPM_ALG_ECDSA` with SHA-256. */
const ECDSA = Buffer.from([0x00, 0x18, 0x00, 0x0b])
const SCALAR_BYTES = 32

/** Signs quotes with one key (P-256): all but challenge, clock and signature was made before. */
export class FleetKey {
  readonly #ak: SoftwareAk
  readonly #attest: Buffer
  readonly #begin: string
  #clock = 1n

  constructor(ak: SoftwareAk) {
    this.#ak = ak
    const values = pcrValues([16], 'the PEM of the attestation key')
    const { attest, blob } = softwareQuote(ak, { nonce: Buffer.alloc(CHALLENGE_BYTES), values })
    this.#attest = attest
    const quote = `"evidence_class":"certification","evidence_type":"tpm_quote","data":{"subject_data":"${blob.toString('base64')}"`
    this.#begin = `{"data":{"type":"attestation","attributes":{"evidence_collected":[{${quote},"message":"`
  }

  /** The body of the evidence for PCR 16. @param challenge base64 of 16 bytes. */
  evidence(challenge: string): string {
    const attest = this.#attest
    attest.write(challenge, CHALLENGE_AT, CHALLENGE_BYTES, 'base64')
    attest.writeBigUInt64BE(this.#clock++, CLOCK_AT)
    return `${this.#begin}${attest.toString('base64')}","signature":"${this.#signature(attest)}"}}]}}}`
  }

  /** TPMT_SIGNATURE, base64. Signed as DER: the other form costs Node.js an exception. */
  #signature(data: Buffer): string {
    const der = sign('sha256', data, this.#ak.privateKey)
    const rEnd = 4 + der[3]!
    const r = scalar(der.subarray(4, rEnd))
    const s = scalar(der.subarray(rEnd + 2))
    return Buffer.concat([ECDSA, u16(SCALAR_BYTES), r, u16(SCALAR_BYTES), s]).toString('base64')
  }
}

function scalar(integer: Buffer): Buffer {
  const bytes = Buffer.alloc(SCALAR_BYTES)
  const digits = integer.subarray(Math.max(0, integer.length - SCALAR_BYTES))
  digits.copy(bytes, SCALAR_BYTES - digits.length)
  return bytes
}
