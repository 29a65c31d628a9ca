import { KeylimeError } from '../../../../../src/core/errors.ts'
import { type Standing, unwritableBy, whyNotReady } from '../../../../../src/roles/verifier/metrics/readiness.ts'

const WELL: Standing = { serves: true, overdue: 0, lateSeconds: 0, quoteInterval: 2, unwritable: null, ended: [] }

test.each<[string, Partial<Standing>, string[]]>([
  ['serves and is well', {}, []],
  ['starts', { serves: null, overdue: 3 }, ['it is starting: the stored machines are being loaded']],
  ['is stopping', { serves: false }, ['it is stopping']],
  ['cannot write', { unwritable: 'SQLITE_FULL' }, ['the database cannot be written: SQLITE_FULL']],
  ['has an ended certificate', { ended: ['server'] }, ['the server certificate has ended']],
  ['forgot machines', { overdue: 2 }, ['2 machines have not been judged in time: the log names them']],
  ['is a little late', { lateSeconds: 10 }, []],
  ['is late', { lateSeconds: 10.6 }, ['attestations are 11 s late: there are more machines than this verifier can ask']],
  ['asks seldom, and is as late', { lateSeconds: 11, quoteInterval: 60 }, []],
  [
    'is all of it',
    { serves: false, unwritable: 'x', overdue: 1 },
    ['it is stopping', 'the database cannot be written: x', '1 machines have not been judged in time: the log names them'],
  ],
])('a verifier that %s', (_what, standing, reasons) => {
  expect(whyNotReady({ ...WELL, ...standing })).toEqual(reasons)
})

test('a refusal is no failure of the database, and its text, which may name a machine, is not shown', () => {
  expect(unwritableBy(null)).toBe(null)
  expect(unwritableBy(new KeylimeError('already_exists', 'agent secret-id exists'))).toBe(null)
  expect(unwritableBy(Object.assign(new Error('disk full at secret-id'), { code: 'SQLITE_FULL' }))).toBe('SQLITE_FULL')
  expect(unwritableBy(new Error('secret-id'))).toBe('unknown reason')
})
