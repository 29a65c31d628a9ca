import { createSerialQueue } from '../../../../src/core/concurrency/serial-queue.ts'

/** Work that ends when the test says so. */
function gate() {
  const { promise, resolve, reject } = Promise.withResolvers<string>()
  return { work: () => promise, resolve, reject }
}

test('one piece of work begins when the one before it has ended', async () => {
  const queue = createSerialQueue()
  const first = gate()
  const begun: string[] = []
  const one = queue.run(() => {
    begun.push('one')
    return first.work()
  })
  const two = queue.run(() => {
    begun.push('two')
    return 2
  })
  await new Promise(setImmediate)
  expect(begun).toEqual(['one'])
  first.resolve('done')
  expect(await Promise.all([one, two])).toEqual(['done', 2])
  expect(begun).toEqual(['one', 'two'])
})

test('work that fails fails for who asked for it, and does not stop the next', async () => {
  const queue = createSerialQueue()
  const failing = queue.run(async () => Promise.reject(new Error('no')))
  const throwing = queue.run(() => {
    throw new Error('nor this')
  })
  const next = queue.run(() => 'next')
  await expect(failing).rejects.toThrow('no')
  await expect(throwing).rejects.toThrow('nor this')
  expect(await next).toBe('next')
})

test('it is idle when all that was asked so far has ended, also badly', async () => {
  const queue = createSerialQueue()
  await queue.idle()
  const first = gate()
  const failing = queue.run(first.work)
  let idle = false
  const waiting = queue.idle().then(() => {
    idle = true
  })
  await new Promise(setImmediate)
  expect(idle).toBe(false)
  first.reject(new Error('no'))
  await waiting
  await expect(failing).rejects.toThrow('no')
})

test('work waits for what the queue begins with, even when that fails', async () => {
  const first = gate()
  const queue = createSerialQueue(first.work())
  let begun = false
  const work = queue.run(() => {
    begun = true
  })
  await new Promise(setImmediate)
  expect(begun).toBe(false)
  first.reject(new Error('no'))
  await work
  expect(begun).toBe(true)
})

test('work that asks for more work does not wait for it', async () => {
  const queue = createSerialQueue()
  const order: string[] = []
  await queue.run(() => {
    void queue.run(() => order.push('inner'))
    order.push('outer')
  })
  await queue.idle()
  expect(order).toEqual(['outer', 'inner'])
})
