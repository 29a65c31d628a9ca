import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { ImaLog } from '../../../../src/io/files/ima-log.ts'

let file: string
beforeEach(() => {
  file = path.join(fs.mkdtempSync(path.join(os.tmpdir(), 'keylime-ima-')), 'list')
})
afterEach(() => fs.rmSync(path.dirname(file), { recursive: true }))

const lines = (from: number, to: number) => Array.from({ length: to - from }, (_, i) => `10 line ${from + i}\n`).join('')

test('a list that is not there is null, and is found when it appears', () => {
  const log = new ImaLog(file)
  expect(log.read(0)).toBeNull()
  expect(log.count()).toBe(0)
  fs.writeFileSync(file, lines(0, 3))
  expect(log.read(1)).toEqual({ text: lines(1, 3), entry: 1 })
  log.close()
})

test('every part of a long, growing list is right, in whatever order it is asked for', () => {
  const log = new ImaLog(file)
  let count = 0
  const grow = (by: number) => {
    fs.appendFileSync(file, lines(count, count + by))
    count += by
  }
  for (const by of [1, 255, 1, 700, 40_000]) {
    grow(by)
    for (const from of [0, count, count - 1, 256, 255, 257, 512, Math.floor(count / 2)].filter((n) => n <= count))
      expect(log.read(from)).toEqual({ text: lines(from, count), entry: from })
    expect(log.read(count + 1)).toEqual({ text: lines(0, count), entry: 0 })
    expect(log.count()).toBe(count)
  }
  log.close()
})

test('a line that is not finished yet is left for the next time', () => {
  const log = new ImaLog(file)
  fs.writeFileSync(file, '10 a\n10 b')
  expect(log.count()).toBe(1)
  expect(log.read(0)).toEqual({ text: '10 a\n', entry: 0 })
  fs.appendFileSync(file, 'b\n')
  expect(log.read(1)).toEqual({ text: '10 bb\n', entry: 1 })
  log.close()
})

test('a list that was replaced, or became shorter, is read anew', () => {
  const log = new ImaLog(file)
  fs.writeFileSync(file, lines(0, 10))
  log.read(10)
  fs.writeFileSync(file, lines(50, 52))
  expect(log.read(0)).toEqual({ text: lines(50, 52), entry: 0 })
  fs.rmSync(file)
  fs.writeFileSync(file, lines(70, 75))
  expect(log.read(4)).toEqual({ text: lines(74, 75), entry: 4 })
  log.close()
})

test('what is new is read without what is old', () => {
  const log = new ImaLog(file)
  fs.writeFileSync(file, lines(0, 50_000))
  log.read(50_000)
  fs.appendFileSync(file, lines(50_000, 50_001))
  let bytes = 0
  const readSync = fs.readSync
  fs.readSync = ((...args: Parameters<typeof readSync>) => {
    const count = readSync(...args)
    bytes += count
    return count
  }) as typeof readSync
  try {
    expect(log.read(50_000)).toEqual({ text: lines(50_000, 50_001), entry: 50_000 })
  } finally {
    fs.readSync = readSync
  }
  expect(bytes).toBeLessThan(100)
  log.close()
})
