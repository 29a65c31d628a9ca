import { hash as hashOf } from 'node:crypto'
import { KeylimeError } from '../errors.ts'
import { digestSize, type HashName } from '../tpm/algorithms.ts'

export type TemplateName = 'ima' | 'ima-ng' | 'ima-ngv2' | 'ima-sig' | 'ima-sigv2' | 'ima-buf' | 'ima-modsig'

/** One line of `ascii_runtime_measurements` (policies A.1). */
export interface ImaEntry {
  /** First column as it stands: anything but `10` is a failure. */
  pcr: string
  /** Second column, lower-case hex. */
  column: string
  template: TemplateName
  /** `verity` for an fs-verity digest of the v2 templates, `ima` for the digest of a file's content. */
  digestType: 'ima' | 'verity'
  /** Name of the file digest's algorithm as the log has it. */
  algorithm: string
  /** File digest, lower-case hex. */
  digest: string
  /** Path of the file, name of the keyring or of the buffer. */
  name: string
  /** Signature of the `sig` field, or the buffer of `ima-buf`; empty when there is none. */
  extra: Buffer
  /** Template data: what the template hash and the PCR extension are made of (policies A.3). */
  data: Buffer
}

type Fields = Omit<ImaEntry, 'pcr' | 'column' | 'template'>

const EMPTY = Buffer.alloc(0)
const HEX_DIGITS = /^[0-9a-fA-F]*$/
const isHex = (text: string) => text.length % 2 === 0 && HEX_DIGITS.test(text)
/** Longest line that is looked at. A path has at most 4 KiB, measured keys and critical data some 10 KiB. */
const MAX_LINE = 1 << 20
const LEGACY_NAME_SIZE = 256

const TEMPLATES = new Map<string, (rest: string) => Fields | string>([
  ['ima', legacy],
  ['ima-ng', (rest) => digestAndName(rest, false)],
  ['ima-ngv2', (rest) => digestAndName(rest, true)],
  ['ima-sig', (rest) => withBytes(rest, false)],
  ['ima-sigv2', (rest) => withBytes(rest, true)],
  ['ima-buf', buffer],
  ['ima-modsig', modsig],
])

/**
 * Reads one line without its newline; nothing is trimmed, the blank at the end of an unsigned `ima-sig` line is a field.
 * @returns a sentence that says what is wrong when the line cannot be read.
 */
export function readEntry(line: string): ImaEntry | string {
  if (line.length > MAX_LINE) return `it has ${line.length} characters, at most ${MAX_LINE} are read`
  const a = line.indexOf(' ')
  const b = line.indexOf(' ', a + 1)
  const c = line.indexOf(' ', b + 1)
  if (a < 0 || b < 0 || c < 0) return 'it has fewer than four fields'
  const column = line.slice(a + 1, b)
  if (column === '' || !isHex(column)) return 'the template hash is not hexadecimal'
  const name = line.slice(b + 1, c)
  const fieldsOf = TEMPLATES.get(name)
  if (!fieldsOf) return `the template ${JSON.stringify(name.slice(0, 40))} is not known`
  const rest = fieldsOf(line.slice(c + 1))
  if (typeof rest === 'string') return rest
  return { pcr: line.slice(0, a), column: column.toLowerCase(), template: name as TemplateName, ...rest }
}

/** As `readEntry`. @throws KeylimeError `malformed`. */
export function parseEntry(line: string): ImaEntry {
  const entry = readEntry(line)
  if (typeof entry === 'string') throw new KeylimeError('malformed', `the IMA entry cannot be read: ${entry}`)
  return entry
}

/** All zeros in the size of the log's hash: the kernel saw a file change while it was measured (policies A.5). All ones is no violation. */
export const isViolation = (column: string, logHash: HashName): boolean =>
  column.charCodeAt(0) === 48 && column.length === 2 * digestSize(logHash) && /^0+$/.test(column)

/** The template hash by one algorithm, hex. */
export const templateHash = (algorithm: HashName, data: Buffer): string => hashOf(algorithm, data, 'hex')

function legacy(rest: string): Fields | string {
  const space = rest.indexOf(' ')
  if (space < 0) return 'the path is missing'
  const hex = rest.slice(0, space)
  const algorithm = algorithmOfSize(hex)
  if (!algorithm || !isHex(hex)) return 'the digest is neither SHA-1 nor MD5'
  const name = rest.slice(space + 1)
  const path = Buffer.from(name, 'utf8')
  if (path.length >= LEGACY_NAME_SIZE) return `the path has ${path.length} bytes, the template ima holds 255`
  const data = Buffer.alloc(hex.length / 2 + LEGACY_NAME_SIZE)
  data.write(hex, 0, 'hex')
  path.copy(data, hex.length / 2)
  return { digestType: 'ima', algorithm, digest: hex.toLowerCase(), name, extra: EMPTY, data }
}

const algorithmOfSize = (hex: string) => (hex.length === 40 ? 'sha1' : hex.length === 32 ? 'md5' : null)

function digestAndName(rest: string, typed: boolean): Fields | string {
  const space = rest.indexOf(' ')
  if (space < 0) return 'the path is missing'
  return fields(rest.slice(0, space), rest.slice(space + 1), typed, null)
}

/** `digest path sig`: the signature stands behind the last blank, so that a path may hold blanks. */
function withBytes(rest: string, typed: boolean): Fields | string {
  const [first, last] = [rest.indexOf(' '), rest.lastIndexOf(' ')]
  if (first < 0 || last === first) return 'the signature field is missing'
  return fields(rest.slice(0, first), rest.slice(first + 1, last), typed, rest.slice(last + 1))
}

/** `digest name data`: a buffer's name has no blank. */
function buffer(rest: string): Fields | string {
  const first = rest.indexOf(' ')
  const second = rest.indexOf(' ', first + 1)
  if (first < 0 || second < 0) return 'the buffer is missing'
  return fields(rest.slice(0, first), rest.slice(first + 1, second), false, rest.slice(second + 1))
}

/** `digest path sig d-modsig modsig`: the appended signature of a module, with the digest of the module without it. */
function modsig(rest: string): Fields | string {
  const first = rest.indexOf(' ')
  const tail = rest.slice(first + 1).split(' ')
  if (first < 0 || tail.length < 4) return 'the fields of the appended signature are missing'
  const [signature, appendedDigest, appended] = tail.slice(-3) as [string, string, string]
  const parsed = fields(rest.slice(0, first), tail.slice(0, -3).join(' '), false, signature)
  if (typeof parsed === 'string') return parsed
  const digest = appendedDigest === '' ? null : parseDigest(appendedDigest, false)
  if (typeof digest === 'string') return digest
  if (!isHex(appended)) return 'the appended signature is not hexadecimal'
  return { ...parsed, data: Buffer.concat([parsed.data, sizedLE(digest?.bytes ?? EMPTY), sizedLE(Buffer.from(appended, 'hex'))]) }
}

function fields(digestText: string, name: string, typed: boolean, hex: string | null): Fields | string {
  const digest = parseDigest(digestText, typed)
  if (typeof digest === 'string') return digest
  if (hex !== null && !isHex(hex)) return 'the last field is not hexadecimal'
  const { bytes } = digest
  const nameSize = Buffer.byteLength(name) + 1
  const nameAt = 4 + bytes.length
  const extraAt = nameAt + 4 + nameSize
  const data = Buffer.allocUnsafe(extraAt + (hex === null ? 0 : 4 + hex.length / 2))
  data.writeUInt32LE(bytes.length, 0)
  bytes.copy(data, 4)
  data.writeUInt32LE(nameSize, nameAt)
  data.write(name, nameAt + 4, 'utf8')
  data[extraAt - 1] = 0
  let extra = EMPTY
  if (hex !== null) {
    data.writeUInt32LE(hex.length / 2, extraAt)
    data.write(hex, extraAt + 4, 'hex')
    extra = data.subarray(extraAt + 4)
  }
  return { digestType: digest.type, algorithm: digest.algorithm, digest: digest.hex, name, extra, data }
}

/** `alg:hex`, of the v2 templates `type:alg:hex`; a bare digest has the algorithm of its length, and is encoded with it. */
function parseDigest(text: string, typed: boolean) {
  const parts = text.split(':')
  const type = typed ? parts.shift() : 'ima'
  if (type !== 'ima' && type !== 'verity') return 'the digest is of no known type (ima or verity)'
  if (parts.length < 1 || parts.length > 2) return 'the digest has no algorithm'
  const hex = parts.at(-1)!
  const algorithm = parts.length === 2 ? parts[0] : algorithmOfSize(hex)
  if (!algorithm) return 'the digest has no algorithm'
  const prefix = typed ? `${type}:${algorithm}:\0` : `${algorithm}:\0`
  const start = Buffer.byteLength(prefix)
  const bytes = Buffer.allocUnsafe(start + Math.ceil(hex.length / 2))
  bytes.write(prefix, 0, 'utf8')
  // The decoder stops at the first character that is no digit.
  if (hex === '' || 2 * bytes.write(hex, start, 'hex') !== hex.length) return 'the digest is not hexadecimal'
  return { type: type as 'ima' | 'verity', algorithm, hex: hex.toLowerCase(), bytes }
}

function sizedLE(bytes: Buffer): Buffer {
  const size = Buffer.alloc(4)
  size.writeUInt32LE(bytes.length)
  return Buffer.concat([size, bytes])
}
