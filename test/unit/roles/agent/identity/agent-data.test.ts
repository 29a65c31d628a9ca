import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { silentLogger } from '../../../../../src/io/log/logger.ts'
import { readAgentData, writeAgentData } from '../../../../../src/roles/agent/identity/agent-data.ts'

let directory: string
beforeEach(() => {
  directory = fs.mkdtempSync(path.join(os.tmpdir(), 'keylime-data-'))
})
afterEach(() => fs.rmSync(directory, { recursive: true }))
const file = () => path.join(directory, 'agent_data.json')

test("the file has upstream's form: names of its enumerations, bytes as numbers, structures without their sizes", async () => {
  const ak = { public: Buffer.from('0002abcd', 'hex'), private: Buffer.from('0001ee', 'hex') }
  const data = { hash: 'sha256', signing: 'rsassa', ak, ekHash: 'ff00' } as const
  await writeAgentData(file(), data)
  expect(JSON.parse(fs.readFileSync(file(), 'utf8'))).toEqual({
    ak_hash_alg: 'Sha256',
    ak_sign_alg: 'RsaSsa',
    ak_public: [0xab, 0xcd],
    ak_private: [0xee],
    ek_hash: [...Buffer.from('ff00')],
  })
  expect(fs.statSync(file()).mode & 0o777).toBe(0o600)
  expect(readAgentData(file(), silentLogger)).toEqual(data)
})

test('no file is no key; a damaged one is no key and says so', () => {
  const warnings: string[] = []
  const logger = { ...silentLogger, warn: (message: string) => void warnings.push(message) }
  expect(readAgentData(file(), logger)).toBeNull()
  expect(warnings).toEqual([])
  for (const text of [
    '',
    '{',
    '[]',
    '{"ak_hash_alg":"Sm3_256","ak_sign_alg":"RsaSsa","ak_public":[],"ak_private":[],"ek_hash":[]}',
    '{"ak_public":[999]}',
  ]) {
    fs.writeFileSync(file(), text)
    expect(readAgentData(file(), logger)).toBeNull()
  }
  expect(warnings).toHaveLength(5)
})
