import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { openPayload } from '../../../src/core/payload/seal.ts'
import { combineKey } from '../../../src/core/payload/split-key.ts'
import { encryptUserdata } from '../../../src/tools/userdata-encrypt/encrypt-userdata.ts'
import { runUpstream } from '../../../src/tools/userdata-encrypt/upstream.ts'

let directory: string
beforeEach(() => {
  directory = fs.mkdtempSync(path.join(os.tmpdir(), 'keylime-userdata-'))
})
afterEach(() => fs.rmSync(directory, { recursive: true }))

test('writes K, V and U in three lines, and the payload that K opens, both for the owner only', async () => {
  fs.writeFileSync(path.join(directory, 'in'), 'content')
  await encryptUserdata(path.join(directory, 'in'), directory)
  const [k, v, u] = fs
    .readFileSync(path.join(directory, 'content_keys.txt'), 'utf8')
    .trim()
    .split('\n')
    .map((line) => Buffer.from(line, 'base64'))
  expect(combineKey(u!, v!).equals(k!)).toBe(true)
  expect(openPayload(k!, fs.readFileSync(path.join(directory, 'content_payload.txt'), 'utf8')).toString()).toBe('content')
  expect(fs.statSync(path.join(directory, 'content_keys.txt')).mode & 0o777).toBe(0o600)
})

test('a missing file is refused, by upstream’s name with status 255', async () => {
  await expect(encryptUserdata(path.join(directory, 'none'), directory)).rejects.toMatchObject({ code: 'not_found' })
  expect(await runUpstream([])).toBe(255)
  expect(await runUpstream([path.join(directory, 'none')])).toBe(255)
})
