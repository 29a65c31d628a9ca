import { setImmediate as turn } from 'node:timers/promises'
import { createNoticeTaker, type NoticeTakerOptions } from '../../../../../src/roles/verifier/revocation/notice-taker.ts'

test('notices that are signed again one by one hold up nothing else for long', async () => {
  let [turns, isDone, begun] = [0, false, 0]
  const found = Array.from({ length: 400 }, (_, i) => ({ revocation: { id: i }, target: 'agent:a', attempts: 0 }))
  const pages = [found, []]
  const taker = createNoticeTaker({
    store: { pending: async () => pages.shift() },
    log: { between: (look: () => unknown) => look() },
    queues: {},
    begin() {
      for (const end = performance.now() + 1; performance.now() < end; );
      begun++
      return true
    },
  } as unknown as NoticeTakerOptions)
  const counting = (async () => {
    for (; !isDone; turns++) await turn()
  })()
  expect(await taker.all({}, () => true)).toBe(400)
  isDone = true
  await counting
  expect(begun).toBe(400)
  expect(turns).toBeGreaterThan(15)
})
