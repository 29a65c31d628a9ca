import { KeylimeError } from '../errors.ts'
import { type HashName, hashAlgOf } from './algorithms.ts'
import type { ByteReader } from './byte-reader.ts'
import { u16, u32 } from './byte-writer.ts'

/** PCRs of a PC Client platform: 0 to 23. */
export const PCR_COUNT = 24
/** PCR that holds the measurement list of the kernel (IMA). */
export const IMA_PCR = 10
/** Resettable PCR that binds the transport key to a quote. */
export const DATA_PCR = 16

export interface PcrSelection {
  algorithm: number
  /** Ascending. */
  pcrs: number[]
}

/** A marshalled TPML_PCR_SELECTION with one bank. */
export function pcrSelection(hash: HashName, pcrs: readonly number[]): Buffer {
  const mask = pcrMask(pcrs)
  const select = Buffer.from([mask & 0xff, (mask >> 8) & 0xff, (mask >> 16) & 0xff])
  return Buffer.concat([u32(1), u16(hashAlgOf(hash)), Buffer.from([select.length]), select])
}

/** Reads a TPML_PCR_SELECTION (Part 2, section 10.9.7). @throws KeylimeError `malformed`. */
export function readPcrSelections(reader: ByteReader): PcrSelection[] {
  const count = reader.u32()
  if (count > 16) throw new KeylimeError('malformed', `${count} PCR selections, a TPM has at most 16 banks`)
  return Array.from({ length: count }, () => ({ algorithm: reader.u16(), pcrs: readSelect(reader) }))
}

/** Bytes of a selection for the PCRs that there are (PCR_SELECT_MAX of PC Client platforms). */
export const MAX_SELECT_BYTES = PCR_COUNT / 8

function readSelect(reader: ByteReader): number[] {
  const size = reader.u8()
  if (size > MAX_SELECT_BYTES)
    throw new KeylimeError('malformed', `a PCR selection of ${size} bytes, a TPM has ${PCR_COUNT} PCRs (${MAX_SELECT_BYTES} bytes)`)
  return pcrsOfSelect(reader.bytes(size))
}

/** PCR i is bit i%8 of byte i/8. */
export function pcrsOfSelect(select: Uint8Array): number[] {
  const pcrs: number[] = []
  for (let i = 0; i < select.length * 8; i++) if (select[i >> 3]! & (1 << (i & 7))) pcrs.push(i)
  return pcrs
}

export const pcrMask = (pcrs: readonly number[]): number => pcrs.reduce((mask, pcr) => mask | (1 << pcr), 0)

export const pcrsOfMask = (mask: number): number[] => Array.from({ length: PCR_COUNT }, (_, i) => i).filter((i) => mask & (1 << i))
