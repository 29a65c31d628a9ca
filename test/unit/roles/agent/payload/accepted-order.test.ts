import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import type { VerifiedOrder } from '../../../../../src/core/payload/delivery-order.ts'
import { acceptOrder, readAcceptedOrder } from '../../../../../src/roles/agent/payload/accepted-order.ts'

let directory: string
let file: string
beforeEach(() => {
  directory = fs.mkdtempSync(path.join(os.tmpdir(), 'keylime-order-'))
  file = path.join(directory, 'accepted-delivery.json')
})
afterEach(() => fs.rmSync(directory, { recursive: true }))

const order = (generation: number, digest = `digest of ${generation}`) =>
  ({ generation, digest, enrolment: 'ab'.repeat(16) }) as unknown as VerifiedOrder

test('the newest order is on the disk, for its owner alone, when it was accepted', async () => {
  expect(readAcceptedOrder(file)).toBeNull()
  await acceptOrder(file, order(7))
  expect(readAcceptedOrder(file)).toEqual({ generation: 7, digest: 'digest of 7', enrolment: 'ab'.repeat(16) })
  expect((fs.statSync(file).mode & 0o777).toString(8)).toBe('600')
  expect(fs.readdirSync(directory)).toHaveLength(1)
})

test('the same order may come again; an older one, or another of the same generation, is refused with both moments', async () => {
  await acceptOrder(file, order(1_767_225_600_000))
  await acceptOrder(file, order(1_767_225_600_000))
  await expect(acceptOrder(file, order(1_767_225_599_999))).rejects.toMatchObject({
    code: 'refused',
    message: expect.stringContaining('2025-12-31T23:59:59.999Z, and this machine has had one of 2026-01-01T00:00:00.000Z'),
  })
  await expect(acceptOrder(file, order(1_767_225_600_000, 'another'))).rejects.toMatchObject({ code: 'refused' })
  await acceptOrder(file, order(1_767_225_600_001))
  expect(readAcceptedOrder(file)?.generation).toBe(1_767_225_600_001)
})

test.each(['', '{', '{"generation":0,"digest":"x","enrolment":"y"}', '{"digest":"x"}'])(
  'with %j in the file no order is accepted, and it stays as it is',
  async (content) => {
    fs.writeFileSync(file, content)
    await expect(acceptOrder(file, order(9))).rejects.toMatchObject({
      code: 'file_failed',
      hint: expect.stringContaining('remove the file'),
    })
    expect(fs.readFileSync(file, 'utf8')).toBe(content)
  },
)

test('an order that cannot be written is not accepted', async () => {
  await expect(acceptOrder(path.join(directory, 'missing/file'), order(9))).rejects.toMatchObject({ code: 'file_failed' })
})
