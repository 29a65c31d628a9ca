import { type Standing, whyNotReady } from '../../../../../src/roles/verifier/metrics/readiness.ts'

const WELL: Standing = { serves: true, overdue: 0, lateSeconds: 0, quoteInterval: 2, unwritable: null, isDown: false, ended: [] }

test.each<[string, Partial<Standing>, string[]]>([
  ['serves and is well', {}, []],
  ['starts', { serves: null, overdue: 3 }, ['it is starting: the stored machines are being loaded']],
  ['is stopping', { serves: false }, ['it is stopping']],
  ['cannot write', { unwritable: 'SQLITE_FULL' }, ['the database cannot be written: SQLITE_FULL']],
  ['hears nothing of the others', { isDown: true }, ['what other verifiers do is not known: the log says why']],
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
