import {
  algorithmOfSize,
  type EntryFields,
  type FieldReader,
  NOTHING,
  nameDefect,
  parseDigest,
  writeDigestAndName,
} from './digest-field.ts'
import type { TemplateData } from './template-data.ts'

/** Writes the data of one field behind digest and name. @returns null when the text is none of that field. */
type WriteField = (text: string, to: TemplateData) => Buffer | null

/** What the kernel prints for the data of a field, by its descriptor (Linux, security/integrity/ima/ima_template.c). */
const FIELDS: Readonly<Record<string, WriteField>> = {
  sig: writeHex,
  evmsig: writeHex,
  modsig: writeHex,
  buf: writeHex,
  xattrlengths: writeHex,
  xattrvalues: writeHex,
  'd-modsig': writeAppendedDigest,
  xattrnames: writeNames,
  iuid: (text, to) => writeNumber(text, 4, to),
  igid: (text, to) => writeNumber(text, 4, to),
  imode: (text, to) => writeNumber(text, 2, to),
}
/** Templates that the kernel has names for, but the oldest, whose data have a form of their own. */
export const TEMPLATE_FORMATS: Readonly<Record<string, string>> = {
  'ima-ng': 'd-ng|n-ng',
  'ima-ngv2': 'd-ngv2|n-ng',
  'ima-sig': 'd-ng|n-ng|sig',
  'ima-sigv2': 'd-ngv2|n-ng|sig',
  'ima-buf': 'd-ng|n-ng|buf',
  'ima-modsig': 'd-ng|n-ng|sig|d-modsig|modsig',
  'evm-sig': 'd-ng|n-ng|evmsig|xattrnames|xattrlengths|xattrvalues|iuid|igid|imode',
}
const DIGESTS = new Set(['d', 'd-ng', 'd-ngv2'])
const NAMES = new Set(['n', 'n-ng'])
/** The kernel has some fifteen descriptors, and a template each at most once. */
const MAX_FIELDS = 16

/**
 * The reader of a template by its descriptors, such as `d-ng|n-ng|sig|iuid`: what `ima_template_fmt=` of a kernel says stands in the log in place of a name.
 * Digest and name must be the first two, as in all templates that have a name: no hash covers which template a line is of, so in another order whoever writes
 * the log could have the bytes of one field taken for those of another. @returns why there is none.
 */
export function describedReader(format: string): FieldReader | string {
  const [digest = '', name = '', ...rest] = format.split('|', MAX_FIELDS + 1)
  if (!DIGESTS.has(digest) || !NAMES.has(name)) return `the template ${shown(format)} does not begin with digest and name`
  const unknown = rest.find((field) => !Object.hasOwn(FIELDS, field))
  if (unknown !== undefined || rest.length + 2 > MAX_FIELDS) return `the template ${shown(format)} has a field that is not known here`
  const signature = rest.indexOf('sig')
  return (line, to) => {
    const texts = fieldTexts(line, rest.length)
    if (texts === null) return 'the path is missing'
    const fields = writeHead(digest, texts.digest, texts.name, to)
    if (typeof fields === 'string') return fields
    let extra = NOTHING
    for (const [i, field] of rest.entries()) {
      const bytes = FIELDS[field]!(texts.others[i]!, to)
      if (!bytes) return `the field ${field} cannot be read`
      if (i === signature) extra = bytes
    }
    return { ...fields, extra }
  }
}

/** Empty fields at the end of a line may be missing: editors cut blanks. Whether that is so says the template hash. */
function fieldTexts(line: string, count: number): { digest: string; name: string; others: string[] } | null {
  const [digest, ...tail] = line.split(' ')
  if (tail.length === 0) return null
  const nameParts = Math.max(1, tail.length - count)
  const others = tail.slice(nameParts)
  return {
    digest: digest!,
    name: tail.slice(0, nameParts).join(' '),
    others: [...others, ...Array.from({ length: count - others.length }, () => '')],
  }
}

/** `d` is a bare digest without a name of its algorithm. */
function writeHead(kind: string, digestText: string, name: string, to: TemplateData): EntryFields | string {
  if (kind !== 'd') return writeDigestAndName(digestText, name, kind === 'd-ngv2', to)
  const algorithm = algorithmOfSize(digestText)
  if (!algorithm || !to.field(digestText)) return 'the digest is neither SHA-1 nor MD5'
  const defect = nameDefect(name)
  if (defect) return defect
  to.name(name)
  return { digest: { type: 'ima', algorithm, hex: digestText, prefix: '' }, name, extra: NOTHING }
}

function writeHex(text: string, to: TemplateData): Buffer | null {
  return to.field(text)
}

/** The digest that an appended signature is over, in the form of a file's digest; empty without such a signature. */
function writeAppendedDigest(text: string, to: TemplateData): Buffer | null {
  if (text === '') return to.field('')
  const digest = parseDigest(text, false)
  return typeof digest === 'string' ? null : to.field(Buffer.from(`${digest.prefix}\0`, 'latin1').toString('hex') + digest.hex)
}

/** Names with `|` between and a NUL behind; the kernel prints `(null)` where there is no file. */
function writeNames(text: string, to: TemplateData): Buffer | null {
  if (text === '' || text === '(null)') return to.field('')
  if (nameDefect(text)) return null
  to.name(text)
  return NOTHING
}

/** A decimal number; empty where there is no file. */
function writeNumber(text: string, size: number, to: TemplateData): Buffer | null {
  if (text === '') return to.field('')
  const value = /^\d{1,10}$/.test(text) ? Number(text) : Infinity
  if (value >= 2 ** (8 * size)) return null
  const bytes = Buffer.alloc(size)
  bytes.writeUIntLE(value, 0, size)
  return to.field(bytes.toString('hex'))
}

const shown = (format: string): string => JSON.stringify(format.slice(0, 100))
