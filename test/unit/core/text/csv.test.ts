import { csvLine } from '../../../../src/core/text/csv.ts'

test.each([
  [['a', 'b'], 'a,b'],
  [['a,b', 'say "x"'], '"a,b","say ""x"""'],
  [['-', ''], '-,'],
  [[' a', 'b '], '" a","b "'],
])('%j is %s', (cells, line) => {
  expect(csvLine(cells)).toBe(line)
})

test.each(['=1+1', '+1', '-1', '@x', '=HYPERLINK("x")'])('%s is no formula to a spreadsheet', (text) => {
  expect(csvLine([text]).replace(/^"/, '').startsWith("'")).toBe(true)
})

test('no text leaves its line', () => {
  expect(csvLine(['a\nb', 'c\rd', '\u001b[31m'])).not.toMatch(/[\n\r\u001b]/)
})
