import fc from 'fast-check'
import { parseInPlace } from '../../../../src/core/api/parse-in-place.ts'
import { runs } from '../../../thorough.ts'

/** So small that texts of some bytes are large. */
const LARGE = 4
const outcome = (parse: () => unknown): unknown => {
  try {
    return { value: parse() }
  } catch (error) {
    return (error as Error).name
  }
}
/** What UTF-8 can carry of the texts and names. */
function wellFormed(value: unknown): unknown {
  if (typeof value === 'string') return value.toWellFormed()
  if (typeof value !== 'object' || value === null) return value
  if (Array.isArray(value)) return value.map(wellFormed)
  return Object.fromEntries(Object.entries(value).map(([name, member]) => [name.toWellFormed(), wellFormed(member)]))
}
const sameAsParser = (bytes: Buffer) =>
  expect(outcome(() => wellFormed(parseInPlace(Buffer.from(bytes), LARGE)))).toEqual(
    outcome(() => wellFormed(JSON.parse(bytes.toString('utf8')))),
  )

/** Pieces that are more dangerous side by side than alone: escapes, their halves, characters of one to four bytes, and bytes that are none. */
const piece = fc.constantFrom(
  ...[
    'a',
    'line of a list',
    '\\n',
    '\\\\',
    '\\"',
    '\\/',
    '\\u0041',
    '\\ud83d',
    '\\ude00',
    '\\u00',
    '\\',
    '\\x',
    'ä',
    '€',
    '😀',
    '\n',
    '"',
    'u',
  ].map((text) => Buffer.from(text)),
  Buffer.from([0x80]),
  Buffer.from([0xf0, 0x9f]),
)
const text = fc.array(piece, { maxLength: 30 }).map((pieces) => Buffer.concat(pieces))

test('texts of all kinds of escapes, characters and damage are what the parser makes of them', () => {
  fc.assert(
    fc.property(text, text, (one, two) => {
      sameAsParser(Buffer.concat([Buffer.from('"'), one, Buffer.from('"')]))
      sameAsParser(Buffer.concat(['{"results":{"a":"', one, '","b":["', two, '",1],"', one, '":null}}'].map((part) => Buffer.from(part))))
    }),
    { numRuns: runs(1500, 300) },
  )
})

test('any JSON is what the parser makes of it', () => {
  fc.assert(
    fc.property(fc.json({ stringUnit: 'binary' }), (json) => sameAsParser(Buffer.from(json))),
    { numRuns: runs(150, 50) },
  )
})

test('who writes the mark of a large text himself gets a text of his own', () => {
  const json = JSON.stringify({ a: 'a large text', b: '\u0000large text 0', c: '\u0000large text 7', d: '\u0000large text __proto__' })
  expect(parseInPlace(Buffer.from(json), 30)).toEqual(JSON.parse(json))
  expect(parseInPlace(Buffer.from(json.replace('"a large text"', `"${'x'.repeat(40)}"`)), 30)).toMatchObject({
    b: 'x'.repeat(40),
    c: '\u0000large text 7',
  })
})
