import { coalesced } from '../../../../src/core/concurrency/coalesced.ts'

test('who asks while it runs shares one more run, which begins afterwards', async () => {
  const gates: PromiseWithResolvers<void>[] = []
  const work = coalesced(async () => {
    const gate = Promise.withResolvers<void>()
    gates.push(gate)
    await gate.promise
    return gates.length
  })
  const first = work()
  const [second, third] = [work(), work()]
  expect(gates).toHaveLength(1)
  gates[0]!.resolve()
  expect(await first).toBe(1)
  await new Promise((done) => setImmediate(done))
  expect(gates).toHaveLength(2)
  const fourth = work() // was asked for while the second runs
  gates[1]!.resolve()
  expect(await Promise.all([second, third])).toEqual([2, 2])
  await new Promise((done) => setImmediate(done))
  expect(gates).toHaveLength(3)
  gates[2]!.resolve()
  expect(await fourth).toBe(3)
})

test('a run that fails fails for those who asked for it, and the next one runs', async () => {
  let count = 0
  const work = coalesced(async () => {
    if (++count === 1) throw new Error('first')
    return count
  })
  const [first, second] = [work(), work()]
  await expect(first).rejects.toThrow('first')
  expect(await second).toBe(2)
  expect(await work()).toBe(3)
})
