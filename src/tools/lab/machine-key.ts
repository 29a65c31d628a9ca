import { createHash, generateKeyPairSync, type KeyObject, sign } from 'node:crypto'
import { dataPcrValue } from '../../core/quote/data-pcr.ts'
import { encodePcrBlob } from '../../core/quote/pcr-blob.ts'
import { TPM_ALG } from '../../core/tpm/algorithms.ts'
import { sized, u16, u32, u64 } from '../../core/tpm/byte-writer.ts'
import { DATA_PCR, IMA_PCR, pcrSelection, pcrsOfMask } from '../../core/tpm/pcr-selection.ts'
import { akTemplate } from '../../core/tpm/templates.ts'

const TPM_GENERATED = 0xff544347
const ATTEST_QUOTE = 0x8018
const NAME_BYTES = 34
const NONCE_BYTES = 20
/** Where a TPMS_ATTEST of ours has them: behind magic, type and a name. */
const NONCE_AT = 4 + 2 + 2 + NAME_BYTES + 2
const CLOCK_AT = NONCE_AT + NONCE_BYTES
const RESETS_AT = CLOCK_AT + 8
const SCALAR_BYTES = 32

/** PCR values that are quoted, in the form that is signed and sent: made once, and used for each quote until they change. */
export interface QuotedState {
  /** TPMS_ATTEST, without nonce, clock and restarts. */
  attest: Buffer
  /** PCR values, base64. */
  blob: string
}

/** An attestation key in software, P-256: each machine has its own, and signs each nonce anew. */
export class MachineKey {
  /** TPM2B_PUBLIC, base64. */
  readonly publicArea: string
  readonly #key: KeyObject
  #clock = 1n

  constructor() {
    const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
    const { x, y } = publicKey.export({ format: 'jwk' })
    const template = akTemplate('ecc256', 'sha256', 'ecdsa').public.subarray(2)
    const unique = [x, y].map((text) => sized(Buffer.from(text!, 'base64url')))
    this.publicArea = sized(Buffer.concat([template.subarray(0, template.length - 4), ...unique])).toString('base64')
    this.#key = privateKey
  }

  /** Keylime's text of a quote (protocol 4.5). */
  quote({ attest, blob }: QuotedState, nonce: string, resets: number): string {
    attest.write(nonce, NONCE_AT, NONCE_BYTES, 'latin1')
    attest.writeBigUInt64BE(this.#clock++, CLOCK_AT)
    attest.writeUInt32BE(resets, RESETS_AT)
    return `r${attest.toString('base64')}:${this.#signature(attest)}:${blob}`
  }

  /** TPMT_SIGNATURE, base64. Signed as DER: the other form costs Node.js an exception. */
  #signature(data: Buffer): string {
    const der = sign('sha256', data, this.#key)
    const rEnd = 4 + der[3]!
    const scalars = [der.subarray(4, rEnd), der.subarray(rEnd + 2)].map(scalar)
    const algorithm = Buffer.concat([u16(TPM_ALG.ECDSA), u16(TPM_ALG.SHA256)])
    return Buffer.concat([algorithm, ...scalars.map(sized)]).toString('base64')
  }
}

/** @param mask PCRs that are asked for. @param pcrs their values where they are not zero. */
export function quotedState(mask: number, pcrs: ReadonlyMap<number, Buffer>): QuotedState {
  const numbers = pcrsOfMask(mask | (1 << DATA_PCR))
  const values = new Map(numbers.map((pcr) => [pcr, pcrs.get(pcr) ?? Buffer.alloc(32)]))
  const digest = createHash('sha256')
  for (const value of values.values()) digest.update(value)
  const attest = Buffer.concat([
    ...[u32(TPM_GENERATED), u16(ATTEST_QUOTE), sized(Buffer.alloc(NAME_BYTES)), sized(Buffer.alloc(NONCE_BYTES))],
    ...[u64(0n), u32(0), u32(0), Buffer.from([1]), u64(1n)], // clock, resets, restarts, safe, firmware
    ...[pcrSelection('sha256', numbers), sized(digest.digest())],
  ])
  return { attest, blob: encodePcrBlob({ hash: 'sha256', values }).toString('base64') }
}

/** PCRs of a machine with this transport key and measurement list. */
export const pcrsOf = (transportKey: string, pcr10: Buffer): Map<number, Buffer> =>
  new Map([
    [IMA_PCR, pcr10],
    [DATA_PCR, dataPcrValue('sha256', transportKey)],
  ])

function scalar(integer: Buffer): Buffer {
  const bytes = Buffer.alloc(SCALAR_BYTES)
  const digits = integer.subarray(Math.max(0, integer.length - SCALAR_BYTES))
  digits.copy(bytes, SCALAR_BYTES - digits.length)
  return bytes
}
