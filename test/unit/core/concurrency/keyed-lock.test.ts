import { createKeyedLock, takeAll } from '../../../../src/core/concurrency/keyed-lock.ts'

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

test('a key is taken while work for it is under way or waits', async () => {
  const lock = createKeyedLock()
  const { promise, resolve } = Promise.withResolvers<void>()
  const all = [lock.take('a', () => promise), lock.take('a', async () => undefined)]
  expect([lock.isTaken('a'), lock.isTaken('b')]).toEqual([true, false])
  resolve()
  await Promise.all(all)
  expect(lock.isTaken('a')).toBe(false)
})

test('of several keys at once, work waits until all are free, and keeps others waiting until it ends, however it ends', async () => {
  const lock = createKeyedLock()
  const order: string[] = []
  const { promise, resolve } = Promise.withResolvers<void>()
  const note = (what: string) => async () => void order.push(what)
  const all = [
    lock.take('b', () => promise.then(note('before'))),
    takeAll(lock, ['a', 'b'], async () => {
      order.push('all')
      throw new Error('no')
    }).catch(note('failed')),
    lock.take('a', note('behind a')),
    lock.take('c', note('beside')),
  ]
  await all[3]
  resolve()
  await Promise.all(all)
  expect(order.slice(0, 3)).toEqual(['beside', 'before', 'all'])
  expect(order.slice(3).toSorted()).toEqual(['behind a', 'failed'])
})
