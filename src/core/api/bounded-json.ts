import { KeylimeError } from '../errors.ts'

/** What a JSON text may have before it is parsed: a parser makes of each byte of `[{},{},…]` many times its size in memory, and follows any nesting. */
export interface JsonLimits {
  /** Objects and arrays inside each other; 0 allows only a single text, number or word. */
  maxDepth: number
  /** Objects, arrays, texts, numbers and words together, at least 1; names of members are not counted. */
  maxValues: number
}

/** Of most messages: some fields, or a list of them. */
export const SMALL_JSON: JsonLimits = { maxDepth: 16, maxValues: 1000 }

/**
 * Of a policy, which may list any number of files: a digest has 40 characters and more, so values are never dense for long. A text of nothing but `{},` is
 * refused early. @param length of its text.
 */
export const policyJson = (length: number): JsonLimits => ({ maxDepth: 64, maxValues: 10_000 + Math.floor(length / 16) })

/**
 * Parses the JSON text in `bytes` (UTF-8; what is no UTF-8 becomes U+FFFD), if it is within `limits`: exactly what `JSON.parse` takes and is no larger.
 * @param what names the message in errors: `the body`. @throws KeylimeError `invalid_request`.
 */
export function parseBoundedJson(bytes: Uint8Array, what: string, limits: JsonLimits = SMALL_JSON): unknown {
  const buffer = asBuffer(bytes)
  demandWithin(buffer, what, limits)
  return parseText(buffer.toString('utf8'), what)
}

/** The same of a text inside of a message. @throws KeylimeError `invalid_request`. */
export function parseBoundedJsonText(text: string, what: string, limits: JsonLimits = SMALL_JSON): unknown {
  demandWithin(Buffer.from(text, 'utf8'), what, limits)
  return parseText(text, what)
}

function demandWithin(bytes: Buffer, what: string, limits: JsonLimits): void {
  const excess = jsonExcess(bytes, limits)
  if (excess) throw new KeylimeError('invalid_request', `${what} ${excess}`)
}

function parseText(text: string, what: string): unknown {
  try {
    return JSON.parse(text)
  } catch (cause) {
    throw new KeylimeError('invalid_request', `${what} is not valid JSON`, { cause })
  }
}

export const QUOTE = 0x22
const BACKSLASH = 0x5c
const COMMA = 0x2c
const OPEN_LIST = 0x5b
const ORDINARY = 0
const TEXT = 1
const NEXT = 2
const OPEN = 3
const CLOSE = 4
const BLANK = 5
/** What each byte is to the count, outside of texts. */
const KINDS = kindsOf({ '"': TEXT, ',': NEXT, '[{': OPEN, ']}': CLOSE, ' \t\n\r': BLANK })
/** Below this length a loop over the bytes is faster than the search of the runtime, which costs a call. */
const SHORT_TEXT = 48

function kindsOf(kinds: Record<string, number>): Uint8Array {
  const table = new Uint8Array(256)
  for (const [characters, kind] of Object.entries(kinds)) for (const character of characters) table[character.charCodeAt(0)] = kind
  return table
}

/**
 * Counts nesting and values in one pass that keeps nothing. Before the first error of syntax it sees the tokens that a parser sees, so that no parser
 * gets further into a text than `limits` allow. @returns which limit is passed, as the end of a sentence; null for none.
 */
export function jsonExcess(bytes: Buffer, { maxDepth, maxValues }: JsonLimits): string | null {
  let depth = 0
  let values = 1
  const { length } = bytes
  for (let at = 0; at < length; at++) {
    const byte = bytes[at]!
    if (byte > COMMA && byte < OPEN_LIST) continue // digits and the like: the run of a hostile number is passed fastest
    const kind = KINDS[byte]!
    if (kind === ORDINARY) continue
    if (kind === TEXT) at = endOfText(bytes, at + 1)
    else if (kind === NEXT) values++
    else if (kind === CLOSE) depth--
    else if (kind === OPEN) {
      if (++depth > maxDepth) return `is nested deeper than ${maxDepth} levels`
      if (!isEmpty(bytes, at + 1)) values++
    }
    if (values > maxValues) return `has more than ${maxValues} values`
  }
  return null
}

/** Whether the object or array that begins before `at` ends at once: without a comma, it has one member or none. */
function isEmpty(bytes: Buffer, at: number): boolean {
  let next = at
  while (next < bytes.length && KINDS[bytes[next]!] === BLANK) next++
  return KINDS[bytes[next]!] === CLOSE
}

/** Index of the quote that ends a text; behind the last byte when none does. */
export function endOfText(bytes: Buffer, start: number): number {
  for (let at = start; at < bytes.length; ) {
    const near = Math.min(at + SHORT_TEXT, bytes.length)
    for (; at < near; at++) {
      const byte = bytes[at]!
      if (byte === QUOTE) return at
      if (byte === BACKSLASH) at++
    }
    if (at >= bytes.length) return bytes.length
    const quote = bytes.indexOf(QUOTE, at)
    if (quote < 0) return bytes.length
    let escapes = quote
    while (escapes > at && bytes[escapes - 1] === BACKSLASH) escapes--
    if ((quote - escapes) % 2 === 0) return quote
    at = quote + 1
  }
  return bytes.length
}

const asBuffer = (bytes: Uint8Array): Buffer =>
  Buffer.isBuffer(bytes) ? bytes : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
