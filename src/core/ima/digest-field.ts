import { decodeBytes, encodeBytes } from '../text/byte-text.ts'
import type { TemplateData } from './template-data.ts'

/** The digest of an entry, as its field has it. */
export interface DigestField {
  /** `verity` for an fs-verity digest of the v2 templates, `ima` for the digest of a file's content. */
  type: 'ima' | 'verity'
  algorithm: string
  hex: string
  /** What stands before the NUL in the template data. */
  prefix: string
}

/** What the fields behind the template's name say. */
export interface EntryFields {
  digest: DigestField
  name: string
  extra: Buffer
}

/** Reads the fields behind the template's name, and writes their data. A text says what is wrong. */
export type FieldReader = (rest: string, to: TemplateData) => EntryFields | string

export const NOTHING: Buffer = Buffer.alloc(0)

/** Names of the kernel: what is hashed of a name is one byte a character. */
const ALGORITHM = /^[a-z0-9-]{1,32}$/

/** `alg:hex`, of the v2 templates `type:alg:hex`; a bare digest has the algorithm of its length, and is encoded with it. */
export function parseDigest(text: string, typed: boolean): DigestField | string {
  let at = 0
  let type: DigestField['type'] = 'ima'
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

/** Of a digest without a name, which is one of the two that the kernel allowed there. */
export const algorithmOfSize = (hex: string): string | null => (hex.length === 40 ? 'sha1' : hex.length === 32 ? 'md5' : null)

export function writeDigestAndName(digestText: string, name: string, typed: boolean, to: TemplateData): EntryFields | string {
  const digest = parseDigest(digestText, typed)
  if (typeof digest === 'string') return digest
  if (!to.digest(digest.prefix, digest.hex)) return 'the digest is not hexadecimal'
  const defect = nameDefect(name, to.isLatin)
  if (defect) return defect
  to.name(name)
  return { digest, name, extra: NOTHING }
}

/**
 * Template data end a name with a zero byte, and those of the oldest template have no lengths: a zero within a name would let one template's data be read as
 * another's. Of the texts that stand for the same bytes only the one that those bytes are read as counts: no other could be looked up as what was hashed.
 */
export const nameDefect = (name: string, isLatin = false): string | null =>
  name.includes('\0') || !(isLatin || name.isWellFormed() || decodeBytes(encodeBytes(name)) === name)
    ? 'the name is not one that a file can have'
    : null
