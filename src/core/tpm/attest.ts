import { KeylimeError } from '../errors.ts'
import { ByteReader } from './byte-reader.ts'
import { type PcrSelection, readPcrSelections } from './pcr-selection.ts'

const TPM_GENERATED_VALUE = 0xff544347
const TPM_ST_ATTEST_CERTIFY = 0x8017
const TPM_ST_ATTEST_QUOTE = 0x8018

/** TPMS_CLOCK_INFO: milliseconds of operation, counters of resets and of restarts (suspend, hibernate). */
export interface ClockInfo {
  clock: bigint
  resetCount: number
  restartCount: number
  safe: boolean
}

interface AttestHead {
  qualifiedSigner: Buffer
  extraData: Buffer
  clockInfo: ClockInfo
  firmwareVersion: bigint
}

export interface QuoteAttest extends AttestHead {
  selections: PcrSelection[]
  pcrDigest: Buffer
}

export interface CertifyAttest extends AttestHead {
  name: Buffer
  qualifiedName: Buffer
}

/** A TPMS_ATTEST of type quote (Part 2, section 10.12.8), consumed exactly. @throws KeylimeError `malformed`. */
export function parseQuoteAttest(bytes: Uint8Array): QuoteAttest {
  const reader = new ByteReader(bytes, 'TPMS_ATTEST')
  const head = readHead(reader, TPM_ST_ATTEST_QUOTE, 'a quote')
  const selections = readPcrSelections(reader)
  const pcrDigest = reader.sized()
  reader.end()
  return { ...head, selections, pcrDigest }
}

/** A TPMS_ATTEST of type certify, consumed exactly. @throws KeylimeError `malformed`. */
export function parseCertifyAttest(bytes: Uint8Array): CertifyAttest {
  const reader = new ByteReader(bytes, 'TPMS_ATTEST')
  const head = readHead(reader, TPM_ST_ATTEST_CERTIFY, 'a certification')
  const name = reader.sized()
  const qualifiedName = reader.sized()
  reader.end()
  return { ...head, name, qualifiedName }
}

function readHead(reader: ByteReader, expectedType: number, what: string): AttestHead {
  const magic = reader.u32()
  if (magic !== TPM_GENERATED_VALUE) throw new KeylimeError('malformed', 'the signed structure was not made by a TPM (wrong magic)')
  const type = reader.u16()
  if (type !== expectedType) throw new KeylimeError('malformed', `the signed structure is not ${what} (type 0x${type.toString(16)})`)
  const qualifiedSigner = reader.sized()
  const extraData = reader.sized()
  const clock = reader.u64()
  const resetCount = reader.u32()
  const restartCount = reader.u32()
  const safe = reader.u8() === 1
  return { qualifiedSigner, extraData, clockInfo: { clock, resetCount, restartCount, safe }, firmwareVersion: reader.u64() }
}
