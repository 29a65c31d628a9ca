import { hash as hashOf } from 'node:crypto'
import { KeylimeError } from '../errors.ts'
import { digestSize, type HashName } from '../tpm/algorithms.ts'
import { TemplateData } from './template-data.ts'

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
  /** Template data: what the template hash and the PCR extension are made of (policies A.3). With `extra`, worthless when the next line is read. */
  data: Buffer
}

const EMPTY = Buffer.alloc(0)
const HEX_DIGITS = /^[0-9a-fA-F]*$/
const isHex = (text: string) => text.length % 2 === 0 && HEX_DIGITS.test(text)
/** Longest line that is looked at. A path has at most 4 KiB, measured keys and critical data some 10 KiB. */
const MAX_LINE = 1 << 20

/** Reads the fields behind the template's name, and writes their data. A text says what is wrong. */
type FieldReader = (rest: string, to: TemplateData) => Fields | string
interface Fields {
  digest: Digest
  name: string
  extra: Buffer
}

const TEMPLATES = new Map<string, FieldReader>([
  ['ima', legacy],
  ['ima-ng', (rest, to) => digestAndName(rest, false, to)],
  ['ima-ngv2', (rest, to) => digestAndName(rest, true, to)],
  ['ima-sig', (rest, to) => withBytes(rest, false, to)],
  ['ima-sigv2', (rest, to) => withBytes(rest, true, to)],
  ['ima-buf', buffer],
  ['ima-modsig', modsig],
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
  const fieldsOf = TEMPLATES.get(template)
  if (!fieldsOf) return `the template ${JSON.stringify(template.slice(0, 40))} is not known`
  to.begin(line)
  const fields = fieldsOf(line.slice(c + 1), to)
  if (typeof fields === 'string') return fields
  const { digest, name, extra } = fields
  return {
    pcr: line.slice(0, a),
    column: line.slice(a + 1, b),
    template: template as TemplateName,
    digestType: digest.type,
    algorithm: digest.algorithm,
    digest: digest.hex,
    name,
    extra,
    data: to.bytes,
  }
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

function legacy(rest: string, to: TemplateData): Fields | string {
  const space = rest.indexOf(' ')
  if (space < 0) return 'the path is missing'
  const hex = rest.slice(0, space)
  const algorithm = algorithmOfSize(hex)
  if (!algorithm) return 'the digest is neither SHA-1 nor MD5'
  const name = rest.slice(space + 1)
  return nameDefect(name) ?? to.legacy(hex, name) ?? { digest: { type: 'ima', algorithm, hex, prefix: '' }, name, extra: EMPTY }
}

const algorithmOfSize = (hex: string) => (hex.length === 40 ? 'sha1' : hex.length === 32 ? 'md5' : null)

function digestAndName(rest: string, typed: boolean, to: TemplateData): Fields | string {
  const space = rest.indexOf(' ')
  if (space < 0) return 'the path is missing'
  return write(rest.slice(0, space), rest.slice(space + 1), typed, to)
}

/** `digest path sig`: the signature stands behind the last blank, so that a path may hold blanks. */
function withBytes(rest: string, typed: boolean, to: TemplateData): Fields | string {
  const [first, last] = [rest.indexOf(' '), rest.lastIndexOf(' ')]
  if (first < 0 || last === first) return 'the signature field is missing'
  return withField(write(rest.slice(0, first), rest.slice(first + 1, last), typed, to), rest.slice(last + 1), to)
}

/** `digest name data`: a buffer's name has no blank. */
function buffer(rest: string, to: TemplateData): Fields | string {
  const first = rest.indexOf(' ')
  const second = rest.indexOf(' ', first + 1)
  if (first < 0 || second < 0) return 'the buffer is missing'
  return withField(write(rest.slice(0, first), rest.slice(first + 1, second), false, to), rest.slice(second + 1), to)
}

/** `digest path sig d-modsig modsig`: the appended signature of a module, with the digest of the module without it. */
function modsig(rest: string, to: TemplateData): Fields | string {
  const first = rest.indexOf(' ')
  const tail = rest.slice(first + 1).split(' ')
  if (first < 0 || tail.length < 4) return 'the fields of the appended signature are missing'
  const [signature, appendedDigest, appended] = tail.slice(-3) as [string, string, string]
  const fields = withField(write(rest.slice(0, first), tail.slice(0, -3).join(' '), false, to), signature, to)
  if (typeof fields === 'string') return fields
  const digest = appendedDigest === '' ? null : parseDigest(appendedDigest, false)
  if (typeof digest === 'string') return digest
  const digestField = digest ? Buffer.from(`${digest.prefix}\0`, 'latin1').toString('hex') + digest.hex : ''
  if (!to.field(digestField) || !to.field(appended)) return 'the appended signature is not hexadecimal'
  return fields
}

function write(digestText: string, name: string, typed: boolean, to: TemplateData): Fields | string {
  const digest = parseDigest(digestText, typed)
  if (typeof digest === 'string') return digest
  if (!to.digest(digest.prefix, digest.hex)) return 'the digest is not hexadecimal'
  const defect = nameDefect(name)
  if (defect) return defect
  to.name(name)
  return { digest, name, extra: EMPTY }
}

/**
 * Template data end a name with a zero byte, and those of the oldest template have no lengths: a zero within a name would let one template's data be read as
 * another's. A text that is not UTF-16 would be hashed as another than the one that is looked up.
 */
const nameDefect = (name: string): string | null =>
  name.includes('\0') || !name.isWellFormed() ? 'the name is none that a file can have' : null

function withField(fields: Fields | string, hex: string, to: TemplateData): Fields | string {
  if (typeof fields === 'string') return fields
  const extra = to.field(hex)
  return extra ? { ...fields, extra } : 'the last field is not hexadecimal'
}

/** Names of the kernel: what is hashed of a name is one byte a character. */
const ALGORITHM = /^[a-z0-9-]{1,32}$/

interface Digest {
  type: 'ima' | 'verity'
  algorithm: string
  hex: string
  /** What stands before the NUL in the template data. */
  prefix: string
}

/** `alg:hex`, of the v2 templates `type:alg:hex`; a bare digest has the algorithm of its length, and is encoded with it. */
function parseDigest(text: string, typed: boolean): Digest | string {
  let at = 0
  let type: Digest['type'] = 'ima'
  if (typed) {
    at = text.indexOf(':') + 1
    const name = text.slice(0, at)
    if (name !== 'ima:' && name !== 'verity:') return 'the digest is of no known type (ima or verity)'
    if (name === 'verity:') type = 'verity'
  }
  const colon = text.indexOf(':', at)
  if (colon < 0) {
    const algorithm = algorithmOfSize(text.slice(at))
    return algorithm ? { type, algorithm, hex: text.slice(at), prefix: `${text.slice(0, at)}${algorithm}:` } : 'the digest has no algorithm'
  }
  if (colon === at || text.includes(':', colon + 1)) return 'the digest has no algorithm'
  const algorithm = text.slice(at, colon)
  if (algorithm !== 'sha256' && !ALGORITHM.test(algorithm)) return 'the digest is of no algorithm that kernels have'
  return { type, algorithm, hex: text.slice(colon + 1), prefix: text.slice(0, colon + 1) }
}
