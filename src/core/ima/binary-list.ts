import { KeylimeError } from '../errors.ts'
import { decodeBytes } from '../text/byte-text.ts'
import { digestSize, HASH_NAMES } from '../tpm/algorithms.ts'
import { TEMPLATE_FORMATS } from './described-fields.ts'

const MAX_TEMPLATE = 128
const MAX_PCR = 23
const OLDEST = 'ima'
const OLDEST_DIGEST = 20
/** Such as `sha256:` and `verity:sha256:`. */
const ALGORITHM = /^(?:[\w-]{1,40}:){0,3}$/

/** Whether bytes begin as `binary_runtime_measurements` does: with a PCR of four bytes, which no text does. */
export const isBinaryList = (head: Buffer): boolean =>
  head.length >= 4 && (head.readUInt32LE(0) <= MAX_PCR || head.readUInt32BE(0) <= MAX_PCR)

/**
 * The lines that the kernel's list in binary form has in text form (Linux, security/integrity/ima/ima_fs.c).
 * @throws KeylimeError `malformed` that names the entry, also for a list of a machine whose numbers are big-endian.
 */
export function* readBinaryList(bytes: Buffer): Generator<string> {
  if (bytes.readUInt32LE(0) > MAX_PCR) throw malformed('it is from a machine with big-endian numbers')
  const hashSize = templateHashSize(bytes)
  const take = reader(bytes)
  for (let number = 1; !take.isDone(); number++) yield readEntry(take, hashSize, number)
}

const HINT = 'give the list in text form: ascii_runtime_measurements beside it'
const malformed = (what: string) => new KeylimeError('malformed', `the binary IMA list cannot be read: ${what}`, { hint: HINT })

/** Binary lists do not say by which hash their template hashes are: the name of a template stands behind it. */
function templateHashSize(bytes: Buffer): number {
  for (const size of HASH_NAMES.map(digestSize)) {
    if (bytes.length < 8 + size) continue
    const length = bytes.readUInt32LE(4 + size)
    if (length > 0 && length <= MAX_TEMPLATE && formatOf(bytes.toString('latin1', 8 + size, 8 + size + length)) !== null) return size
  }
  throw malformed('entry 1 has no template that is known')
}

const formatOf = (template: string): string | null => {
  if (template === OLDEST) return OLDEST
  return /^[\w-]+(?:\|[\w-]+)+$/.test(template) ? template : (TEMPLATE_FORMATS[template] ?? null)
}

interface Taker {
  isDone(): boolean
  u32(number: number): number
  bytes(length: number, number: number): Buffer
}

function reader(all: Buffer): Taker {
  let at = 0
  const bytes = (length: number, number: number) => {
    if (length > all.length - at) throw malformed(`entry ${number} is cut off`)
    at += length
    return all.subarray(at - length, at)
  }
  return { isDone: () => at === all.length, bytes, u32: (number) => bytes(4, number).readUInt32LE(0) }
}

function readEntry(take: Taker, hashSize: number, number: number): string {
  const pcr = take.u32(number)
  const hash = take.bytes(hashSize, number).toString('hex')
  const template = take.bytes(take.u32(number), number).toString('latin1')
  const format = formatOf(template)
  if (format === null) throw malformed(`entry ${number} has the template ${JSON.stringify(template.slice(0, 40))}, which is not known`)
  const fields = format === OLDEST ? oldestFields(take, number) : describedFields(take.bytes(take.u32(number), number), format, number)
  const line = [pcr, hash, template, ...fields].join(' ')
  if (line.includes('\n')) throw malformed(`entry ${number} has a name of several lines, which could be taken for further entries`)
  return line
}

function oldestFields(take: Taker, number: number): string[] {
  const digest = take.bytes(OLDEST_DIGEST, number).toString('hex')
  return [digest, decodeBytes(take.bytes(take.u32(number), number))]
}

function describedFields(data: Buffer, format: string, number: number): string[] {
  const take = reader(data)
  const texts = format.split('|').map((field) => {
    const text = fieldText(field, take.bytes(take.u32(number), number))
    if (text === null) throw malformed(`entry ${number} has a digest whose algorithm has no name`)
    return text
  })
  if (!take.isDone()) throw malformed(`entry ${number} has more fields than its template`)
  return texts
}

/** As the kernel prints the field. Null for a digest whose algorithm is more than a name: it could be printed as further entries. */
function fieldText(field: string, bytes: Buffer): string | null {
  if (field === 'n' || field === 'n-ng' || field === 'xattrnames') return decodeBytes(bytes.at(-1) === 0 ? bytes.subarray(0, -1) : bytes)
  if (field === 'iuid' || field === 'igid' || field === 'imode')
    return bytes.length > 0 && bytes.length <= 4 ? String(bytes.readUIntLE(0, bytes.length)) : ''
  const nul = field.startsWith('d-') ? bytes.indexOf(0) : -1
  if (nul < 0) return bytes.toString('hex')
  const algorithm = bytes.toString('latin1', 0, nul)
  return ALGORITHM.test(algorithm) ? `${algorithm}${bytes.toString('hex', nul + 1)}` : null
}
