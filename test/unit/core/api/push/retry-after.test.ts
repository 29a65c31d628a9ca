import { readRefusal } from '../../../../../src/core/api/push/error-answer.ts'
import { readRetryAfter } from '../../../../../src/core/api/push/retry-after.ts'

const NOW = Date.UTC(2026, 0, 1, 12)

test.each([
  ['7', 7000],
  ['0', 0],
  ['Thu, 01 Jan 2026 12:00:30 GMT', 30_000],
  ['Thu, 01 Jan 2026 11:00:00 GMT', 0],
  ['', null],
  ['soon', null],
  ['-5', null],
  ['1.5', null],
  ['99999999999999', null],
])('Retry-After: %s', (text, milliseconds) => {
  expect(readRetryAfter(text, NOW)).toBe(milliseconds)
})

test('why a verifier refuses is read from any error document, in bounds, and is empty for anything else', () => {
  expect(readRefusal({ errors: [{ status: '403', code: 'old_attestation', detail: 'too late' }] })).toEqual({
    code: 'old_attestation',
    reason: 'too late',
  })
  expect(readRefusal({ errors: [{ status: '401', title: 'Unauthorized' }, { detail: 'second' }] })).toEqual({
    code: '',
    reason: 'Unauthorized; second',
  })
  expect(readRefusal({ errors: [{ detail: 'x'.repeat(10_000) }] }).reason.length).toBeLessThan(400)
  for (const other of [undefined, null, 5, {}, { errors: 'no' }, { errors: [] }, { errors: [{ detail: 5 }] }])
    expect(readRefusal(other)).toEqual({ code: '', reason: '' })
})
