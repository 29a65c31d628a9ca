import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import fc from 'fast-check'
import { DEFAULT_ARCHIVE_LIMITS } from '../../../../src/core/payload/archive-plan.ts'
import { makePackage } from '../../../../src/core/payload/certificate-package.ts'
import { openArchive } from '../../../../src/io/files/unzip.ts'
import { runs } from '../../../thorough.ts'
import { buildZip, type RawEntry } from '../../../zip-builder.ts'

let directory: string
beforeEach(() => {
  directory = fs.mkdtempSync(path.join(os.tmpdir(), 'keylime-unzip-'))
})
afterEach(() => fs.rmSync(directory, { recursive: true, force: true }))

const LIMITS = { ...DEFAULT_ARCHIVE_LIMITS, maxTotalBytes: 4 << 20 }
const unpack = async (zip: Buffer, limits = LIMITS) => (await openArchive(zip, limits)).extract(directory)
const read = (name: string) => fs.readFileSync(path.join(directory, name), 'utf8')
const modeOf = (name: string) => fs.statSync(path.join(directory, name)).mode & 0o777
const text = (content: string) => Buffer.from(content)

test('files keep their content; modes are 0600 and 0700, directories 0700, whatever the archive says', async () => {
  await unpack(
    buildZip([
      { name: 'a.txt', data: text('a'), mode: 0o100666 },
      { name: 'autorun.sh', data: text('#!/bin/sh'), mode: 0o106777, deflate: true },
      { name: 'deep/er/b', data: text('b'.repeat(5000)), deflate: true },
      { name: 'empty/', mode: 0o040755 },
    ]),
  )
  expect(read('a.txt')).toBe('a')
  expect(read('deep/er/b')).toBe('b'.repeat(5000))
  expect([modeOf('a.txt'), modeOf('autorun.sh'), modeOf('deep/er'), modeOf('empty')]).toEqual([0o600, 0o700, 0o700, 0o700])
})

test('what our own packages hold is unpacked', async () => {
  await unpack(
    await makePackage(
      [
        { name: 'x/run.sh', data: text('1'), executable: true },
        { name: 'y', data: text('2') },
      ],
      Date.now(),
    ),
  )
  expect([modeOf('x/run.sh'), modeOf('y')]).toEqual([0o700, 0o600])
})

test('of two files with one name the last wins', async () => {
  await unpack(buildZip([{ name: 'a', data: text('first') }, { name: 'b' }, { name: 'a', data: text('second') }]))
  expect(read('a')).toBe('second')
})

const file = (name: string | Buffer, more: Partial<RawEntry> = {}): RawEntry => ({ name, data: text('x'), ...more })
const HOSTILE: [string, RawEntry[], RegExp][] = [
  ['a parent directory', [file('../evil')], /"\.\."/],
  ['a parent directory inside', [file('a/../../evil')], /"\.\."/],
  ['an absolute path', [file('/etc/passwd')], /absolute/],
  ['a drive letter', [file('C:evil')], /absolute/],
  ['a backslash', [file('..\\evil')], /backslash/],
  ['a zero byte', [file('a\0b')], /control/],
  ['a newline', [file('a\nb')], /control/],
  ['no name', [file('')], /empty part/],
  ['only a slash', [file('/')], /absolute/],
  ['an empty part', [file('a//b')], /empty part/],
  ['a dot', [file('./a')], /"\."/],
  ['a name that is not UTF-8', [file(Buffer.from([0xff, 0xfe]))], /UTF-8/],
  ['a name that is too long', [file('a'.repeat(300))], /too long/],
  ['a path that is too deep', [file('a/'.repeat(40).concat('b'))], /too deep/],
  ['a symbolic link', [file('link', { mode: 0o120777 })], /a link/],
  ['a symbolic link that claims to be made on DOS', [file('link', { mode: 0o120777, versionMadeBy: 20 })], /a link/],
  ['a symbolic link to a directory', [file('link/', { mode: 0o120777 })], /a link/],
  ['a device', [file('dev', { mode: 0o060600 })], /a device/],
  ['a pipe', [file('pipe', { mode: 0o010600 })], /a pipe/],
  ['a socket', [file('sock', { mode: 0o140600 })], /a socket/],
  ['a file that is a directory', [file('a', { mode: 0o040700 })], /a directory/],
  ['a name that is a file and then a directory', [file('a'), file('a/b')], /file and a directory/],
  ['a name that is a directory and then a file', [{ name: 'a/', mode: 0o040700 }, file('a')], /file and a directory/],
  ['encryption', [file('a', { flags: 1, method: 8 })], /encrypted/],
  ['an unknown compression', [file('a', { method: 12 })], /method 12/],
  ['too much', [file('a', { data: Buffer.alloc(5 << 20, 'ab'), uncompressedSize: 5 << 20 })], /5242881 bytes/],
  ['a bomb', [file('a', { data: Buffer.alloc(3 << 20), deflate: true })], /-fold/],
  ['a bomb of many duplicates', Array.from({ length: 6 }, () => file('a', { data: Buffer.alloc(1 << 20), deflate: true })), /bytes/],
]

test.each(HOSTILE)('%s is refused before anything is written', async (_what, entries, reason) => {
  const zip = buildZip([file('good'), ...entries])
  await expect(openArchive(zip, LIMITS)).rejects.toMatchObject({ code: 'archive_refused', message: expect.stringMatching(reason) })
  expect(fs.readdirSync(directory)).toEqual([])
})

test('too many entries are refused', async () => {
  const zip = buildZip(Array.from({ length: 5000 }, (_, i) => file(`f${i}`)))
  await expect(openArchive(zip, LIMITS)).rejects.toMatchObject({ code: 'archive_refused', message: expect.stringMatching(/entries/) })
})

test('thousands of directories that each entry brings along are refused, whatever the number of entries', async () => {
  const deep = (i: number) => Array.from({ length: 31 }, (_, depth) => `${i}-${depth}`).join('/')
  const zip = buildZip(Array.from({ length: 4000 }, (_, i) => ({ name: `${deep(i)}/`, mode: 0o040700 })))
  await expect(openArchive(zip, LIMITS)).rejects.toMatchObject({
    code: 'archive_refused',
    message: expect.stringMatching(/over 4096 directories/),
  })
})

test('while directories are made, others have their turn', async () => {
  const archive = await openArchive(buildZip(Array.from({ length: 2000 }, (_, i) => ({ name: `d${i}/`, mode: 0o040700 }))), LIMITS)
  let [turns, going] = [0, true]
  const turn = () => {
    turns++
    if (going) setImmediate(turn)
  }
  turn()
  await archive.extract(directory)
  going = false
  expect(turns).toBeGreaterThan(5)
  expect(fs.readdirSync(directory)).toHaveLength(2000)
})

test.each([
  ['more than it says', file('a', { data: Buffer.alloc(1 << 20), deflate: true, uncompressedSize: 10 })],
  ['less than it says', file('a', { data: Buffer.alloc(10), deflate: true, uncompressedSize: 1000 })],
  ['another checksum', file('a', { crc: 1 })],
  ['no deflate stream', file('a', { data: text('nonsense'), method: 8 })],
])('an entry that holds %s is refused while it is inflated', async (_what, entry) => {
  await expect(unpack(buildZip([entry]))).rejects.toMatchObject({ code: 'archive_refused' })
})

test.each([
  ['nothing', Buffer.alloc(0)],
  ['a text', text('PK\x03\x04 this is no zip at all')],
  ['a zip that is cut off', buildZip([file('a'), file('b')]).subarray(0, -30)],
  ['a zip with bytes behind it', Buffer.concat([buildZip([file('a')]), Buffer.alloc(70_000)])],
])('%s is refused', async (_what, zip) => {
  await expect(openArchive(zip, LIMITS)).rejects.toMatchObject({ code: 'archive_refused' })
})

test('a full disk is said with what to do', async () => {
  const plan = await openArchive(buildZip([file('a/b')]), LIMITS)
  fs.rmSync(directory, { recursive: true })
  await expect(plan.extract(directory)).rejects.toThrow(/ENOENT/)
})

test('whatever bytes are changed, the outcome is an archive or a refusal, and nothing is written outside', async () => {
  const zip = buildZip([file('a/b', { deflate: true, data: text('content '.repeat(50)) }), file('c'), { name: 'd/', mode: 0o040700 }])
  const outside = path.join(directory, 'outside')
  const inside = path.join(outside, 'in', 'side')
  const change = fc.record({ at: fc.nat(zip.length - 1), to: fc.integer({ min: 0, max: 255 }) })
  await fc.assert(
    fc.asyncProperty(fc.array(change, { minLength: 1, maxLength: 4 }), fc.nat(zip.length), async (changes, cut) => {
      const changed = Buffer.from(zip)
      for (const { at, to } of changes) changed[at] = to
      fs.mkdirSync(inside, { recursive: true })
      const bytes = cut % 5 === 0 ? changed.subarray(0, cut) : changed
      try {
        await (await openArchive(bytes, LIMITS)).extract(inside)
      } catch (error) {
        expect(error).toMatchObject({ code: expect.stringMatching(/^(archive_refused|file_failed)$/) })
      }
      expect(fs.readdirSync(outside)).toEqual(['in'])
      expect(fs.readdirSync(path.join(outside, 'in'))).toEqual(['side'])
      fs.rmSync(outside, { recursive: true })
    }),
    { numRuns: runs(400, 100) },
  )
})
