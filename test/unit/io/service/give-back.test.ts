import { setTimeout as sleep } from 'node:timers/promises'
import { giveBack } from '../../../../src/io/service/give-back.ts'

test('garbage of the start is collected where a pause is allowed, and programs get no way to ask for a collection', async () => {
  const kept = new Uint8Array(8)
  const [dropped, held] = [new WeakRef(new Uint8Array(8)), new WeakRef(kept)]
  await sleep(0)
  giveBack(false)
  expect('gc' in globalThis).toBe(false)
  giveBack(true)
  expect([dropped.deref(), held.deref()]).toEqual([undefined, kept])
  expect('gc' in globalThis).toBe(false)
})
