import { endOfText, parseBoundedJson, QUOTE, SMALL_JSON } from '../../core/api/bounded-json.ts'
import { LARGE, type SplitTexts } from './split-large-texts.ts'

/** To look at so many bytes takes some 10 milliseconds; a policy of 200,000 digests is not larger. */
const MAX_BYTES = 24 << 20
/** What is no large text is parsed at once. */
const MAX_REST = 1 << 20
/** Stands in the rest for a large text. Who writes it himself gets a large text of his own. */
const MARK = '\u0000large text '

/**
 * What `splitLargeTexts` makes of a body, without making texts of its large ones: they stay where they are, so this takes a tenth of the time, and no worker has to be started for it.
 * @returns null for what is better left to a worker: larger bodies, and large texts in other places or with anything in them but plain ASCII without escapes. @throws KeylimeError `invalid_request`.
 */
export function splitAtOnce(body: Buffer): SplitTexts | null {
  if (body.length > MAX_BYTES) return null
  const texts: Buffer[] = []
  const rest: Buffer[] = []
  let copied = 0
  let restBytes = 0
  for (let start = body.indexOf(QUOTE); start >= 0; ) {
    const end = endOfText(body, start + 1)
    const text = body.subarray(start + 1, end)
    if (text.length > LARGE && end < body.length) {
      if (!isPlain(text)) return null
      rest.push(body.subarray(copied, start), Buffer.from(JSON.stringify(MARK + texts.length)))
      restBytes += start - copied
      texts.push(text)
      copied = end + 1
    }
    if (restBytes + end - copied > MAX_REST) return null
    start = body.indexOf(QUOTE, end + 1)
  }
  if (texts.length === 0 || restBytes + body.length - copied > MAX_REST) return null
  rest.push(body.subarray(copied))
  return withTexts(parseBoundedJson(Buffer.concat(rest), 'the body', SMALL_JSON), texts)
}

/** Every mark is found where `splitLargeTexts` looks for large texts, or it is not this function's business. */
function withTexts(value: unknown, texts: readonly Buffer[]): SplitTexts | null {
  const large = new Map<string, Buffer>()
  let found = 0
  let isElsewhere = false
  function split(object: object, prefix: string): object {
    const members = Object.entries(object).map(([name, member]): [string, unknown] => {
      if (name.startsWith(MARK)) isElsewhere = true
      if (prefix === '' && isObject(member)) return [name, split(member, `${name}.`)]
      const text = typeof member === 'string' && member.startsWith(MARK) ? texts[Number(member.slice(MARK.length))] : undefined
      if (text === undefined) return [name, member]
      found++
      large.set(prefix + name, text)
      return [name, '']
    })
    return Object.fromEntries(members)
  }
  if (!isObject(value)) return null
  const rest = split(value, '')
  return isElsewhere || found !== texts.length ? null : { value: rest, large }
}

const isObject = (value: unknown): value is object => typeof value === 'object' && value !== null && !Array.isArray(value)

const HIGH_BITS = 0x80808080
const BLANKS = 0x20202020
const BACKSLASHES = 0x5c5c5c5c
const ONES = 0x01010101

/** Whether all bytes are from 0x20 to 0x7f, and none begins an escape. Four at a time. */
function isPlain(bytes: Buffer): boolean {
  const head = Math.min(bytes.length, -bytes.byteOffset & 3)
  const words = new Uint32Array(bytes.buffer, bytes.byteOffset + head, (bytes.length - head) >> 2)
  for (let i = 0; i < words.length; i++) {
    const word = words[i]!
    const other = word ^ BACKSLASHES
    // Without the high bits no byte of a difference borrows from the next one but where the one below is too small: then it is not plain anyway.
    if (((word | (word - BLANKS) | ((other - ONES) & ~other)) & HIGH_BITS) !== 0) return false
  }
  return areSingly(bytes.subarray(0, head)) && areSingly(bytes.subarray(head + 4 * words.length))
}

const areSingly = (bytes: Buffer): boolean => bytes.every((byte) => byte >= 0x20 && byte < 0x80 && byte !== 0x5c)
