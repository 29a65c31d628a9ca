import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { KeylimeError } from '../../../../src/core/errors.ts'
import { readFile, readFileSync, readText, readTextSync, type SyncReadOptions, unreadable } from '../../../../src/io/files/read-file.ts'

let directory: string
const file = (name: string) => path.join(directory, name)

beforeAll(() => {
  directory = fs.mkdtempSync(path.join(os.tmpdir(), 'keylime-read-'))
  fs.writeFileSync(file('text'), 'grüße')
})
afterAll(() => fs.rmSync(directory, { recursive: true }))

/** Both ways to read fail alike. */
async function failure(name: string, options: SyncReadOptions = {}): Promise<KeylimeError> {
  const later = await readFile(file(name), options).catch((error: unknown) => error)
  let now: unknown
  try {
    readFileSync(file(name), options)
  } catch (error) {
    now = error
  }
  expect(later).toBeInstanceOf(KeylimeError)
  expect({ ...(now as KeylimeError), message: (now as Error).message }).toMatchObject({
    code: (later as KeylimeError).code,
    hint: (later as KeylimeError).hint,
  })
  return later as KeylimeError
}

test('the content comes as bytes or as text', async () => {
  expect(await readFile(file('text'))).toEqual(Buffer.from('grüße'))
  expect([await readText(file('text')), readTextSync(file('text'))]).toEqual(['grüße', 'grüße'])
})

test('a file that is not there is not found, whatever is missing of its path', async () => {
  expect(await failure('none')).toMatchObject({ code: 'not_found', message: expect.stringContaining(`cannot read ${file('none')}: `) })
  expect(await failure('text/none')).toMatchObject({ code: 'not_found' })
})

test('a directory is told apart, with what to do', async () => {
  expect(await failure('')).toMatchObject({ code: 'file_failed', hint: expect.stringContaining('directory') })
})

test('who may not read a file is told so, in place of the hint for one that is not there', () => {
  const cause = Object.assign(new Error('EACCES: permission denied'), { code: 'EACCES' })
  expect(unreadable('/x', cause, { hint: 'make it' })).toMatchObject({ code: 'file_failed', hint: expect.stringContaining('ls -l /x') })
})

test('the option that names a file, what it is, its code and its hint are as the caller says', async () => {
  expect(await failure('none', { option: '-f', what: 'the list', code: 'config_invalid', hint: 'make one' })).toMatchObject({
    code: 'config_invalid',
    message: expect.stringMatching(/^-f: cannot read the list \S+none: ENOENT/),
    hint: 'make one',
  })
})

test('a file over the limit is refused with both sizes', async () => {
  const options = { option: '-f', tooLargeHint: 'raise it' }
  await expect(readFile(file('text'), { ...options, maxBytes: 6 })).rejects.toMatchObject({
    code: 'payload_too_large',
    message: `-f: ${file('text')} has 7 bytes, 6 is the limit`,
    hint: 'raise it',
  })
  expect(await readFile(file('text'), { maxBytes: 7 })).toHaveLength(7)
})

test('what has no end is not read to its end', async () => {
  await expect(readFile('/dev/zero', { maxBytes: 5_000_000 })).rejects.toMatchObject({
    code: 'payload_too_large',
    message: '/dev/zero has no end, 5000000 is the limit',
  })
})

test('a secret that every user may read or change is refused, and one for its owner and group is read', async () => {
  fs.writeFileSync(file('secret'), 'of us')
  for (const mode of [0o644, 0o602]) {
    fs.chmodSync(file('secret'), mode)
    expect(await failure('secret', { isSecret: true, option: 'server_key' })).toMatchObject({
      code: 'config_invalid',
      message: expect.stringMatching(/^server_key: .*secret can be (read|changed) by every user of this machine \(mode 6/),
      hint: expect.stringContaining(`chmod o= ${file('secret')}`),
    })
  }
  fs.chmodSync(file('secret'), 0o640)
  expect([await readText(file('secret'), { isSecret: true }), readTextSync(file('secret'), { isSecret: true })]).toEqual(['of us', 'of us'])
  expect(readTextSync('/dev/null', { isSecret: true })).toBe('')
})
