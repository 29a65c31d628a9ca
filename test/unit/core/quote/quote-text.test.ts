import fc from 'fast-check'
import { parseQuote } from '../../../../src/core/quote/quote-text.ts'
import { runs } from '../../../thorough.ts'

const BASE64 = /^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/
const CHARACTERS = [...'ABCZabcz0189+/', '=', '-', '_', ' ', '\n', '\0', 'é', '😀']
const texts = fc.oneof(
  fc.string({ unit: fc.constantFrom(...CHARACTERS), maxLength: 24 }),
  fc.uint8Array({ maxLength: 30 }).map((bytes) => Buffer.from(bytes).toString('base64')),
  fc.string({ unit: 'binary', maxLength: 12 }),
)

/** What the last part is refused for; the first two are read before it and are not. */
function refusal(part: string): string {
  try {
    parseQuote(`r${part}:AAAA:AAAA`)
  } catch (error) {
    return (error as Error).message
  }
  return ''
}

test('a part of a quote is base64 and nothing else, with padding at its end alone', () => {
  fc.assert(
    fc.property(
      texts.filter((text) => !text.includes(':')),
      (text) => {
        expect(refusal(text) === 'part 1 of the quote is not base64').toBe(!BASE64.test(text))
      },
    ),
    { numRuns: runs(3000, 600) },
  )
})

test.each(['AAA', 'A===', 'AA==AAAA', '====', 'AA-_', 'AAA\n', ' AAA', 'AA AA==='])('%j is no base64', (text) => {
  expect(refusal(text)).toBe('part 1 of the quote is not base64')
})
