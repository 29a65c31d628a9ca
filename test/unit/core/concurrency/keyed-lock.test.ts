import { createKeyedLock } from '../../../../src/core/concurrency/keyed-lock.ts'

test('work of one key is done in turn, work of another beside it', async () => {
  const lock = createKeyedLock()
  const { promise, resolve } = Promise.withResolvers<void>()
  const order: string[] = []
  const note = (what: string, until?: Promise<void>) => async () => {
    order.push(`${what} begins`)
    await until
    order.push(`${what} ends`)
  }
  const all = [lock.take('a', note('a1', promise)), lock.take('a', note('a2')), lock.take('b', note('b1'))]
  await all[2]
  expect(order).toEqual(['a1 begins', 'b1 begins', 'b1 ends'])
  resolve()
  await Promise.all(all)
  expect(order.slice(3)).toEqual(['a1 ends', 'a2 begins', 'a2 ends'])
})

test('a failure is for who asked, and frees the key', async () => {
  const lock = createKeyedLock()
  const failing = lock.take('a', async () => Promise.reject(new Error('no')))
  const next = lock.take('a', async () => 'next')
  await expect(failing).rejects.toThrow('no')
  expect(await next).toBe('next')
})
