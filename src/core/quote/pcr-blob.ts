import { KeylimeError } from '../errors.ts'
import { digestSize, type HashName, hashAlgOf, hashNameOf } from '../tpm/algorithms.ts'
import { MAX_SELECT_BYTES, pcrMask, pcrsOfSelect } from '../tpm/pcr-selection.ts'

/** PCR values of one bank. Nothing here is signed: only `verifyQuote` turns them into evidence. */
export interface PcrValues {
  hash: HashName
  /** By PCR number, ascending. */
  values: Map<number, Buffer>
}

// The memory image of tpm2-tools' structures, little endian and of fixed size (protocol 4.5).
const SELECTIONS = 16
const SELECTION_SIZE = 8
const DIGESTS_OFFSET = 4 + SELECTIONS * SELECTION_SIZE + 4
const DIGEST_SLOT = 2 + 64
const DIGESTS_A_LIST = 8
const LIST_SIZE = 4 + DIGESTS_A_LIST * DIGEST_SLOT

/** @param values ascending by PCR number; all of the bank's digest size. */
export function encodePcrBlob({ hash, values }: PcrValues): Buffer {
  const digests = [...values.values()]
  const lists = Math.ceil(digests.length / DIGESTS_A_LIST)
  const blob = Buffer.alloc(DIGESTS_OFFSET + lists * LIST_SIZE)
  blob.writeUInt32LE(1, 0)
  blob.writeUInt16LE(hashAlgOf(hash), 4)
  blob.writeUInt8(3, 6)
  blob.writeUIntLE(pcrMask([...values.keys()]), 7, 3)
  blob.writeUInt32LE(lists, DIGESTS_OFFSET - 4)
  for (const [i, digest] of digests.entries()) {
    const list = DIGESTS_OFFSET + Math.floor(i / DIGESTS_A_LIST) * LIST_SIZE
    blob.writeUInt32LE((i % DIGESTS_A_LIST) + 1, list)
    const slot = list + 4 + (i % DIGESTS_A_LIST) * DIGEST_SLOT
    blob.writeUInt16LE(digest.length, slot)
    digest.copy(blob, slot + 2)
  }
  return blob
}

/**
 * Reads a PCR blob exactly: one bank, each value of the bank's size, every unused byte zero, nothing after the last list.
 * @throws KeylimeError `malformed`.
 */
export function decodePcrBlob(blob: Buffer): PcrValues {
  if (blob.length < DIGESTS_OFFSET || (blob.length - DIGESTS_OFFSET) % LIST_SIZE !== 0) throw malformed(`has ${blob.length} bytes`)
  if (blob.readUInt32LE(0) !== 1) throw malformed('must have exactly one PCR bank')
  const hash = hashNameOf(blob.readUInt16LE(4))
  const sizeofSelect = blob.readUInt8(6)
  if (sizeofSelect > MAX_SELECT_BYTES) throw malformed(`has a selection of ${sizeofSelect} bytes`)
  const pcrs = pcrsOfSelect(blob.subarray(7, 7 + sizeofSelect))
  const lists = blob.readUInt32LE(DIGESTS_OFFSET - 4)
  if (lists !== Math.ceil(pcrs.length / DIGESTS_A_LIST) || blob.length !== DIGESTS_OFFSET + lists * LIST_SIZE)
    throw malformed('has another number of digest lists than its selection needs')
  const size = digestSize(hash)
  const values = new Map<number, Buffer>()
  for (const [i, pcr] of pcrs.entries()) values.set(pcr, digestAt(blob, { index: i, count: pcrs.length, size, hash }))
  if (sizeofSelect !== MAX_SELECT_BYTES || !isUnusedZero(blob, pcrs.length, size)) throw malformed('is not in its canonical form')
  return { hash, values }
}

/** Whether nothing lies between and behind what the structures have: the other selections, and what is left of each slot and of the last list. */
function isUnusedZero(blob: Buffer, count: number, size: number): boolean {
  if (!isZero(blob, 4 + 2 + 1 + MAX_SELECT_BYTES, DIGESTS_OFFSET - 4)) return false
  for (let i = 0; i < count; i++) {
    const end = slotOf(i) + DIGEST_SLOT
    if (!isZero(blob, slotOf(i) + 2 + size, end)) return false
  }
  return isZero(blob, count % DIGESTS_A_LIST === 0 ? blob.length : slotOf(count), blob.length)
}

function isZero(blob: Buffer, start: number, end: number): boolean {
  for (let at = start; at < end; at++) if (blob[at] !== 0) return false
  return true
}

const slotOf = (index: number): number =>
  DIGESTS_OFFSET + Math.floor(index / DIGESTS_A_LIST) * LIST_SIZE + 4 + (index % DIGESTS_A_LIST) * DIGEST_SLOT

interface Slot {
  index: number
  /** Of all digests. */
  count: number
  size: number
  hash: HashName
}

function digestAt(blob: Buffer, { index, count, size, hash }: Slot): Buffer {
  const list = DIGESTS_OFFSET + Math.floor(index / DIGESTS_A_LIST) * LIST_SIZE
  const inList = Math.min(DIGESTS_A_LIST, count - Math.floor(index / DIGESTS_A_LIST) * DIGESTS_A_LIST)
  if (blob.readUInt32LE(list) !== inList) throw malformed('has another number of digests than its selection')
  const slot = slotOf(index)
  if (blob.readUInt16LE(slot) !== size) throw malformed(`has a digest of another size than ${hash}`)
  return blob.subarray(slot + 2, slot + 2 + size)
}

const malformed = (text: string) => new KeylimeError('malformed', `the PCR blob ${text}`)
