import fc from 'fast-check'
import { type JsonLimits, jsonExcess, parseBoundedJson } from '../../../../src/core/api/bounded-json.ts'
import { runs } from '../../../thorough.ts'

const MIB = 1 << 20
const wide: JsonLimits = { maxDepth: 1000, maxValues: 1_000_000 }
const refusal = (text: string | Buffer, limits: JsonLimits = wide) => {
  try {
    parseBoundedJson(Buffer.from(text as string), 'the body', limits)
    return null
  } catch (error) {
    return (error as Error).message
  }
}

/** Counted on what the parser made, in a way that has nothing in common with the scan. */
function sizeOf(value: unknown): JsonLimits {
  if (typeof value !== 'object' || value === null) return { maxDepth: 0, maxValues: 1 }
  const members = Object.values(value).map(sizeOf)
  return {
    maxDepth: 1 + Math.max(0, ...members.map((m) => m.maxDepth)),
    maxValues: 1 + members.reduce((sum, m) => sum + m.maxValues, 0),
  }
}

/** JSON with what JSON allows beside the shortest form: blanks, escapes, texts full of brackets. */
const leaf = fc.oneof(
  fc.string({ unit: 'binary' }),
  fc.stringMatching(/^[[\]{},:"\\ ]{0,120}$/),
  fc.double({ noNaN: true, noDefaultInfinity: true }),
  fc.constantFrom(true, false, null),
)
const tree = fc.letrec((tie) => ({
  value: fc.oneof(
    { depthSize: 'medium', withCrossShrink: true },
    leaf,
    fc.array(tie('value'), { maxLength: 6 }),
    fc.dictionary(
      fc.string().filter((key) => key !== '__proto__'),
      tie('value'),
      { maxKeys: 6 },
    ),
  ),
})).value
const text = fc.tuple(tree, fc.constantFrom('', ' ', '\t', '\n\r  ')).map(([value, blanks]) => JSON.stringify(value, null, blanks))

test('whatever the parser takes is taken up to its very size, and refused one below', () => {
  fc.assert(
    fc.property(text, (json) => {
      const value = JSON.parse(json)
      const { maxDepth, maxValues } = sizeOf(value)
      expect(parseBoundedJson(Buffer.from(json), 'it', { maxDepth, maxValues })).toEqual(value)
      if (maxValues > 1) expect(jsonExcess(Buffer.from(json), { maxDepth, maxValues: maxValues - 1 })).toContain('values')
      if (maxDepth > 0) expect(jsonExcess(Buffer.from(json), { maxDepth: maxDepth - 1, maxValues })).toContain('nested')
    }),
    { numRuns: runs(500, 150) },
  )
})

test('what is cut, mixed up or not UTF-8 is taken exactly when the parser takes it', () => {
  const damage = fc.tuple(text, fc.nat(), fc.constantFrom('', '"', '\\', '[', ']', '{', '}', ',', '\u0001', '\ud800'), fc.nat(3))
  const damaged = damage.map(([json, at, piece, remove]) => {
    const bytes = Buffer.from(json)
    const where = at % (bytes.length + 1)
    return Buffer.concat([bytes.subarray(0, where), Buffer.from(piece), bytes.subarray(where + remove)])
  })
  const bytes = fc.uint8Array({ maxLength: 40 }).map((array) => Buffer.from(array))
  fc.assert(
    fc.property(fc.oneof(damaged, bytes), (json) => {
      let expected: unknown
      try {
        expected = JSON.parse(json.toString('utf8'))
      } catch {
        return expect(refusal(json)).toBe('the body is not valid JSON')
      }
      return expect(parseBoundedJson(json, 'it', wide)).toEqual(expected)
    }),
    { numRuns: runs(2000, 400) },
  )
})

test.each([
  ['nothing but openings', '['.repeat(16 * MIB), 'nested'],
  ['objects in a list', `[${'{},'.repeat(5 * MIB)}{}]`, 'values'],
  ['objects inside each other, never closed', '{"a":'.repeat(3 * MIB), 'nested'],
  ['a deep one behind many texts', `[${'"[[[[",'.repeat(1000)}${'['.repeat(2000)}`, 'nested'],
  ['a list of blanks and commas', `[${' ,'.repeat(2 * MIB)}]`, 'values'],
  ['a text that never ends', `"${'x'.repeat(16 * MIB)}`, 'not valid JSON'],
  ['a text of escapes that never ends', `"${'\\"'.repeat(8 * MIB)}`, 'not valid JSON'],
  ['nothing', '', 'not valid JSON'],
])('%s is refused', (_name, json, reason) => expect(refusal(json)).toContain(reason))

test('brackets and commas in texts are no structure, behind any escapes', () => {
  for (const inside of [
    '[[[[',
    '\\"[[[',
    '\\\\',
    '\\\\\\"[,',
    `${'x'.repeat(47)}\\"[`,
    `${'x'.repeat(48)}\\\\`,
    '\\u005b',
    `${'\\\\'.repeat(40)}\\"[[`,
  ])
    expect(refusal(`{"${inside}":"${inside}"}`, { maxDepth: 1, maxValues: 2 })).toBeNull()
})

test('long texts and long numbers are single values', () => {
  const one = { maxDepth: 0, maxValues: 1 }
  expect(refusal(JSON.stringify('[,'.repeat(MIB)), one)).toBeNull()
  expect(parseBoundedJson(Buffer.from('1'.repeat(MIB)), 'it', one)).toBe(Number.POSITIVE_INFINITY)
})

test('a view of a larger buffer is read within its bounds', () => {
  const bytes = new Uint8Array(Buffer.from('[[[{"a":1}]]]')).subarray(3, 10)
  expect(parseBoundedJson(bytes, 'it', { maxDepth: 1, maxValues: 2 })).toEqual({ a: 1 })
})
