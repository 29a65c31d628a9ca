import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import type { DatabaseMark } from '../../../../src/core/attestation/database-age.ts'
import { type MarkFile, markBeside, markFile, writeMark } from '../../../../src/io/db/mark-file.ts'

let directory: string
let file: string
let name: string
let marks: MarkFile
const markOf = (changes: number, database = 'd'): DatabaseMark => ({ database, changes, at: 7 })
const inode = () => fs.statSync(name).ino

beforeEach(() => {
  directory = fs.mkdtempSync(path.join(os.tmpdir(), 'mark-'))
  file = path.join(directory, 'data.sqlite')
  name = `${file}.mark`
  marks = markFile(file)
})
afterEach(() => fs.rmSync(directory, { recursive: true }))

test('the last mark that was written is read, and after the first one no new file is made', async () => {
  await marks.write(markOf(1))
  const first = inode()
  for (let changes = 2; changes < 6; changes++) {
    await marks.write(markOf(changes))
    expect(await markBeside(file)).toEqual(markOf(changes))
    expect(inode()).toBe(first)
  }
  expect([fs.statSync(name).mode & 0o777, fs.readdirSync(directory)]).toEqual([0o600, ['data.sqlite.mark']])
})

test.each([2, 3])('a mark that was written by half, as the %d-th of this process, leaves the one before', async (count) => {
  for (let changes = 1; changes <= count; changes++) await marks.write(markOf(changes))
  const bytes = fs.readFileSync(name)
  const at = bytes.indexOf(`"changes":${count},`)
  fs.writeFileSync(name, Buffer.concat([bytes.subarray(0, at), Buffer.alloc(20), bytes.subarray(at + 20)]))
  expect(await markBeside(file)).toEqual(markOf(count - 1))
})

test('a file that was removed is made again', async () => {
  await marks.write(markOf(1))
  fs.rmSync(name)
  expect(await markBeside(file)).toBeNull()
  await marks.write(markOf(2))
  await marks.write(markOf(3))
  expect(await markBeside(file)).toEqual(markOf(3))
})

test('what somebody else put in its place is replaced, and not written to', async () => {
  await marks.write(markOf(1))
  const other = path.join(directory, 'other')
  const text = ' '.repeat(8192)
  fs.writeFileSync(other, text)
  for (const put of [fs.symlinkSync, fs.linkSync]) {
    fs.rmSync(name)
    put(other, name)
    await marks.write(markOf(2))
    expect([fs.readFileSync(other, 'utf8'), fs.lstatSync(name).isSymbolicLink()]).toEqual([text, false])
    expect(await markBeside(file)).toEqual(markOf(2))
  }
  fs.linkSync(name, path.join(directory, 'second name'))
  const before = fs.readFileSync(path.join(directory, 'second name'))
  await marks.write(markOf(3))
  expect(fs.readFileSync(path.join(directory, 'second name'))).toEqual(before)
  expect(await markBeside(file)).toEqual(markOf(3))
})

test('nothing is left of the marks of another database, or of a larger count of before', async () => {
  for (const changes of [8, 9]) await marks.write(markOf(changes))
  await marks.write(markOf(3, 'another'))
  expect(await markBeside(file)).toEqual(markOf(3, 'another'))
  await writeMark(file, markOf(2, 'third'))
  expect(await markBeside(file)).toEqual(markOf(2, 'third'))
})

test('a mark that an earlier version wrote is read; what is none is as good as none', async () => {
  fs.writeFileSync(name, `${JSON.stringify(markOf(5))}\n`)
  expect(await markBeside(file)).toEqual(markOf(5))
  for (const text of ['', '{', '[]', '{"database":"d","changes":-1,"at":0}', '\n\n']) {
    fs.writeFileSync(name, text)
    expect(await markBeside(file)).toBeNull()
  }
})

test('where it cannot be written, the error names it', async () => {
  fs.mkdirSync(name)
  await expect(marks.write(markOf(1))).rejects.toMatchObject({ code: 'file_failed', message: expect.stringContaining(name) })
})
