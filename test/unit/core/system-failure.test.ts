import { KeylimeError } from '../../../src/core/errors.ts'
import { systemHint } from '../../../src/core/system-failure.ts'

const failure = (code: string) => Object.assign(new Error('x'), { code })

test.each([
  ['ENOSPC', /make room/],
  ['SQLITE_FULL', /make room/],
  ['EROFS', /read-only/],
  ['SQLITE_READONLY_DBMOVED', /read-only/],
  ['EIO', /dmesg/],
  ['SQLITE_IOERR_FSYNC', /dmesg/],
  ['EMFILE', /ulimit -n/],
  ['EACCES', /user/],
  ['SQLITE_CORRUPT', /backup/],
])('%s has a hint, also as the cause of a failure', (code, hint) => {
  expect(systemHint(failure(code))).toMatch(hint)
  expect(systemHint(new KeylimeError('file_failed', 'y', { cause: new Error('z', { cause: failure(code) }) }))).toMatch(hint)
})

test('a current directory that was removed is no bug', () => {
  const error = Object.assign(new Error('process.cwd failed'), { code: 'ENOENT', syscall: 'uv_cwd' })
  expect(systemHint(error)).toMatch(/was removed: change to another/)
  expect(systemHint(failure('ENOENT'))).toBeUndefined()
})

test.each([new TypeError('x'), failure('ERR_ASSERTION'), failure('XENOSPC'), 'ENOSPC', null])(
  'what is no failure of the system has none (%#)',
  (error) => {
    expect(systemHint(error)).toBeUndefined()
  },
)
