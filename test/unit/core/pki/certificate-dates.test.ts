import { dateProblem, isDue } from '../../../../src/core/pki/certificate-dates.ts'
import { DAY, NOW } from './fixtures.ts'

const dates = { notBefore: NOW, notAfter: NOW + 100 * DAY }

test.each([
  [-1, 'error', /^is not valid before .*; is the clock right\? here it says /],
  [0, undefined, undefined],
  [100 * DAY - 31 * DAY, undefined, undefined],
  [100 * DAY - 30 * DAY, 'warning', /^ends on .*, in 30 days$/],
  [100 * DAY - DAY, 'warning', /, in 1 day$/],
  [100 * DAY - 1000, 'warning', /, within a day$/],
  [100 * DAY, 'warning', /, within a day$/],
  [100 * DAY + 1, 'error', /^ended on 20\d\d-/],
])('%d ms after its beginning a certificate of 100 days is %s', (after, level, text) => {
  const problem = dateProblem(dates, NOW + after)
  expect(problem?.level).toBe(level)
  if (text) expect(problem?.text).toMatch(text)
})

test('a certificate is due as soon as two thirds of its life are over', () => {
  const ninety = { notBefore: NOW, notAfter: NOW + 90 * DAY }
  expect([60 * DAY - 1, 60 * DAY, 91 * DAY].map((after) => isDue(ninety, NOW + after))).toEqual([false, true, true])
})
