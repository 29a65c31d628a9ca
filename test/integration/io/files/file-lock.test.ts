import { spawn } from 'node:child_process'
import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { withFileLock } from '../../../../src/io/files/file-lock.ts'

let directory: string
beforeEach(() => {
  directory = fs.mkdtempSync(path.join(os.tmpdir(), 'keylime-lock-'))
})
afterEach(() => fs.rmSync(directory, { recursive: true }))

test('one at a time, and the lock is free again after a failure', async () => {
  const lock = path.join(directory, '.lock')
  let inside = 0
  let most = 0
  const work = async () => {
    most = Math.max(most, ++inside)
    await new Promise((resolve) => setTimeout(resolve, 5))
    inside--
  }
  await Promise.all(Array.from({ length: 6 }, () => withFileLock(lock, work)))
  expect(most).toBe(1)
  await expect(withFileLock(lock, () => Promise.reject(new Error('no')))).rejects.toThrow('no')
  expect(await withFileLock(lock, async () => 'free', 0.1)).toBe('free')
})

test('another process holds it, and its death frees it', async () => {
  const lock = path.join(directory, '.lock')
  const holder = spawn('flock', ['-x', lock, 'sh', '-c', 'echo held; exec sleep 60'], {
    stdio: ['ignore', 'pipe', 'inherit'],
    detached: true,
  })
  await new Promise((resolve) => holder.stdout.once('data', resolve))
  await expect(withFileLock(lock, async () => 1, 0.1)).rejects.toMatchObject({ code: 'unavailable' })
  process.kill(-(holder.pid as number), 'SIGKILL')
  expect(await withFileLock(lock, async () => 1, 5)).toBe(1)
})

const testAsRoot = process.getuid?.() === 0 ? test : test.skip

testAsRoot('root leaves no lock that the service of the directory could not take', async () => {
  fs.chownSync(directory, 65_534, 65_534)
  const lock = path.join(directory, '.lock')
  fs.writeFileSync(lock, '', { mode: 0o600 }) // of a release that left it so
  for (const file of [lock, path.join(directory, '.fresh')]) {
    await withFileLock(file, async () => undefined)
    expect(fs.statSync(file)).toMatchObject({ uid: 65_534, gid: 65_534 })
  }
})

test('a lock that cannot be made is an error', async () => {
  await expect(withFileLock(path.join(directory, 'no/lock'), async () => 1)).rejects.toMatchObject({ code: 'file_failed' })
})

testAsRoot('root gives the service of the directory nothing that lies elsewhere: neither by a link nor by a second name', async () => {
  const outside = fs.mkdtempSync(path.join(os.tmpdir(), 'keylime-not-his-'))
  const [secret, empty] = ['secret', 'empty'].map((name) => path.join(outside, name)) as [string, string]
  fs.writeFileSync(secret, 'secret')
  fs.writeFileSync(empty, '')
  fs.chownSync(directory, 65_534, 65_534)
  const lock = path.join(directory, '.lock')
  for (const target of [secret, empty, path.join(outside, 'not-there'), outside]) {
    fs.symlinkSync(target, lock)
    fs.lchownSync(lock, 65_534, 65_534)
    await expect(withFileLock(lock, async () => 1)).rejects.toMatchObject({ code: 'file_failed' })
    fs.rmSync(lock)
  }
  for (const target of [secret, empty]) {
    fs.linkSync(target, lock)
    await withFileLock(lock, async () => 1)
    fs.rmSync(lock)
  }
  expect(fs.readdirSync(outside).toSorted()).toEqual(['empty', 'secret'])
  for (const file of [outside, secret, empty]) expect(fs.statSync(file)).toMatchObject({ uid: 0, gid: 0 })
  fs.rmSync(outside, { recursive: true })
})
