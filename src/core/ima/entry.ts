import { hash as hashOf } from 'node:crypto'
import { KeylimeError } from '../errors.ts'
import { digestSize, type HashName } from '../tpm/algorithms.ts'
import { describedReader, TEMPLATE_FORMATS } from './described-fields.ts'
import { algorithmOfSize, type EntryFields, type FieldReader, NOTHING, nameDefect, writeDigestAndName } from './digest-field.ts'
import { TemplateData } from './template-data.ts'

/** One line of `ascii_runtime_measurements` (policies A.1). */
export interface ImaEntry {
  /** First column as it stands: anything but `10` is a failure. */
  pcr: string
  /** Second column, lower-case hex. */
  column: string
  /** Name of the template, or its descriptors (`ima_template_fmt=`). */
  template: string
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
  /** Template data: what the template hash and the PCR extension are made of (policies A.3). With `extra`, worthless when the next line is read. */
  data: Buffer
}

const HEX_DIGITS = /^[0-9a-fA-F]*$/
const isHex = (text: string) => text.length % 2 === 0 && HEX_DIGITS.test(text)
/** Longest line that is looked at. A path has at most 4 KiB, measured keys and critical data some 10 KiB. */
const MAX_LINE = 1 << 20

const TEMPLATES = new Map<string, FieldReader>([
  ['ima', legacy],
  ['ima-ng', (rest, to) => digestAndName(rest, false, to)],
  ['ima-ngv2', (rest, to) => digestAndName(rest, true, to)],
  ['ima-sig', (rest, to) => withBytes(rest, false, to)],
  ['ima-sigv2', (rest, to) => withBytes(rest, true, to)],
  ['ima-buf', buffer],
  ['ima-modsig', described(TEMPLATE_FORMATS['ima-modsig']!)],
  ['evm-sig', described(TEMPLATE_FORMATS['evm-sig']!)],
])

/**
 * Reads one line without its newline; nothing is trimmed, the blank at the end of an unsigned `ima-sig` line is a field.
 * @returns a sentence that says what is wrong when the line cannot be read.
 */
export function readEntry(line: string): ImaEntry | string {
  const entry = readFields(line, new TemplateData())
  return typeof entry === 'string' ? entry : (columnDefect(entry) ?? inLowerCase(entry))
}

/** Kernels print lower case; upper case means the same. */
export const inLowerCase = (entry: ImaEntry): ImaEntry => ({
  ...entry,
  column: entry.column.toLowerCase(),
  digest: entry.digest.toLowerCase(),
})

/** The template hash column must be hexadecimal. */
export const columnDefect = ({ column }: ImaEntry): string | null =>
  column !== '' && isHex(column) ? null : 'the template hash is not hexadecimal'

/**
 * As `readEntry`, but template hash and digest are as the line has them: only where they differ from what they should be need they be looked at,
 * by `columnDefect` and `inLowerCase`.
 * @param to where the template data are written; used again for the next line of the log.
 */
export function readFields(line: string, to: TemplateData): ImaEntry | string {
  if (line.length > MAX_LINE) return `it has ${line.length} characters, at most ${MAX_LINE} are read`
  const a = line.indexOf(' ')
  const b = line.indexOf(' ', a + 1)
  const c = line.indexOf(' ', b + 1)
  if (a < 0 || b < 0 || c < 0) return 'it has fewer than four fields'
  const template = line.slice(b + 1, c)
  const fieldsOf = TEMPLATES.get(template) ?? customReader(template)
  if (typeof fieldsOf === 'string') return fieldsOf
  to.begin(line)
  const fields = fieldsOf(line.slice(c + 1), to)
  if (typeof fields === 'string') return fields
  const { digest, name, extra } = fields
  return {
    pcr: line.slice(0, a),
    column: line.slice(a + 1, b),
    template,
    digestType: digest.type,
    algorithm: digest.algorithm,
    digest: digest.hex,
    name,
    extra,
    data: to.bytes,
  }
}

const customReader = (template: string): FieldReader | string =>
  template.includes('|') ? describedReader(template) : `the template ${JSON.stringify(template.slice(0, 40))} is not known`

/** A template that the kernel has a name for. */
function described(format: string): FieldReader {
  const reader = describedReader(format)
  if (typeof reader === 'string') throw new Error(reader)
  return reader
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

/** What the template hash column must be, hex; null for a violation, which has none. */
export const expectedColumn = ({ column, data }: ImaEntry, logHash: HashName): string | null =>
  isViolation(column, logHash) ? null : templateHash(logHash, data)

/** The template hash by one algorithm, hex. */
export const templateHash = (algorithm: HashName, data: Buffer): string => hashOf(algorithm, data, 'hex')

function legacy(rest: string, to: TemplateData): EntryFields | string {
  const space = rest.indexOf(' ')
  if (space < 0) return 'the path is missing'
  const hex = rest.slice(0, space)
  const algorithm = algorithmOfSize(hex)
  if (!algorithm) return 'the digest is neither SHA-1 nor MD5'
  const name = rest.slice(space + 1)
  return nameDefect(name) ?? to.legacy(hex, name) ?? { digest: { type: 'ima', algorithm, hex, prefix: '' }, name, extra: NOTHING }
}

function digestAndName(rest: string, typed: boolean, to: TemplateData): EntryFields | string {
  const space = rest.indexOf(' ')
  if (space < 0) return 'the path is missing'
  return writeDigestAndName(rest.slice(0, space), rest.slice(space + 1), typed, to)
}

/**
 * `digest path sig`: the signature stands behind the last blank, so that a path may hold blanks. A line without that blank has an empty one, which an editor
 * has cut: whether that is so says the template hash.
 */
function withBytes(rest: string, typed: boolean, to: TemplateData): EntryFields | string {
  const [first, last] = [rest.indexOf(' '), rest.lastIndexOf(' ')]
  if (first < 0) return 'the path is missing'
  if (last === first) return withField(writeDigestAndName(rest.slice(0, first), rest.slice(first + 1), typed, to), '', to)
  return withField(writeDigestAndName(rest.slice(0, first), rest.slice(first + 1, last), typed, to), rest.slice(last + 1), to)
}

/** `digest name data`: a buffer's name has no blank. */
function buffer(rest: string, to: TemplateData): EntryFields | string {
  const first = rest.indexOf(' ')
  const second = rest.indexOf(' ', first + 1)
  if (first < 0) return 'the name of the buffer is missing'
  const [name, hex] = second < 0 ? [rest.slice(first + 1), ''] : [rest.slice(first + 1, second), rest.slice(second + 1)]
  return withField(writeDigestAndName(rest.slice(0, first), name, false, to), hex, to)
}

function withField(fields: EntryFields | string, hex: string, to: TemplateData): EntryFields | string {
  if (typeof fields === 'string') return fields
  const extra = to.field(hex)
  return extra ? { ...fields, extra } : 'the last field is not hexadecimal'
}
