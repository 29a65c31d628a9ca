import fc from 'fast-check'
import { splitAtOnce } from '../../../../src/io/judging/split-at-once.ts'
import { type SplitTexts, splitLargeTexts } from '../../../../src/io/judging/split-large-texts.ts'

const LONG = 'Q'.repeat(70_000)
const bytes = (value: unknown) => Buffer.from(typeof value === 'string' ? value : JSON.stringify(value))
const shown = (split: SplitTexts | null) =>
  split && { value: split.value, large: [...split.large].map(([name, text]) => [name, Buffer.from(text).toString('utf8')]) }
const byParser = (body: Buffer) => shown(splitLargeTexts(JSON.parse(body.toString('utf8'))))

test.each([
  ['a policy', { runtime_policy: LONG, runtime_policy_key: 'x' }],
  ['two of them', { runtime_policy: LONG, mb_policy: `${LONG}!`, name: 'n', list: [1, 'a', { b: null }] }],
  ['one in an object', { delivery: { payload: LONG, more: { deep: 1 } }, a: 1.5 }],
  ['one beside an empty text', { runtime_policy: '', mb_policy: LONG }],
])('%s: as the parser has it', (_what, body) => {
  expect(shown(splitAtOnce(bytes(body)))).toEqual(byParser(bytes(body)))
  expect(splitAtOnce(bytes(body))!.large.size).toBeGreaterThan(0)
})

test('the last of two members of one name counts, as for the parser', () => {
  const body = bytes(`{"runtime_policy":"${LONG}1","runtime_policy":"${LONG}2"}`)
  const split = splitAtOnce(body)
  expect(split === null || shown(split)!.large[0]![1] === `${LONG}2`).toBe(true)
})

test.each([
  ['no large text', { a: 'b' }],
  ['a large text in a list', { list: [LONG], runtime_policy: LONG }],
  ['a large text deeper down', { a: { b: { c: LONG } } }],
  ['a large name', { [LONG]: LONG }],
  ['no object', [LONG]],
  ['an escape', `{"runtime_policy":"${LONG}\\n"}`],
  ['a quote in it', { runtime_policy: `${LONG}"` }],
  ['other characters than ASCII', { runtime_policy: `${LONG}ä` }],
  ['a line break in it, which is no JSON', `{"runtime_policy":"${LONG}\n"}`],
  ['a control character at its begin', `{"runtime_policy":"\u0001${LONG}"}`],
  ['a text that does not end', `{"runtime_policy":"${LONG}`],
  ['too much beside it', { runtime_policy: LONG, rest: Array.from({ length: 300_000 }, () => 'abc') }],
  ['too much before it', { rest: Array.from({ length: 300_000 }, () => 'abc'), runtime_policy: LONG }],
  ['more than is looked at', { runtime_policy: 'Q'.repeat(25 << 20) }],
])('%s is left to a worker', (_what, body) => {
  expect(splitAtOnce(bytes(body))).toBeNull()
})

test('what is no JSON beside a large text is refused, and so is too much of it', () => {
  expect(() => splitAtOnce(bytes(`{"runtime_policy":"${LONG}",}`))).toThrow('the body is not valid JSON')
  expect(() => splitAtOnce(bytes({ runtime_policy: LONG, many: Array.from({ length: 2000 }, () => 1) }))).toThrow('more than 1000 values')
})

test('who writes the mark himself gets a large text of his own, or goes to a worker', () => {
  const mark = '\u0000large text 0'
  const split = splitAtOnce(bytes({ a: mark, runtime_policy: LONG }))
  expect(split === null || [...split.large.values()].every((text) => Buffer.from(text).toString() === LONG)).toBe(true)
})

test('at any place in memory, a byte that is not plain is found wherever it stands', () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 0, max: 7 }),
      fc.integer({ min: 0, max: 16 }),
      fc.integer({ min: 0, max: 255 }),
      fc.boolean(),
      (offset, at, byte, isAtEnd) => {
        const body = bytes({ runtime_policy: LONG })
        const place = Buffer.alloc(body.length + 8).subarray(offset, offset + body.length)
        body.copy(place)
        const first = place.indexOf('Q')
        place[isAtEnd ? first + LONG.length - 1 - at : first + at] = byte
        const isPlain = byte >= 0x20 && byte < 0x80 && byte !== 0x5c && byte !== 0x22
        let split: SplitTexts | null = null
        try {
          split = splitAtOnce(place)
        } catch {
          split = null // a quote in the middle
        }
        if (isPlain) expect(shown(split)).toEqual(byParser(Buffer.from(place)))
        else expect(split === null || byte === 0x22).toBe(true)
      },
    ),
    { numRuns: 2000 },
  )
})
