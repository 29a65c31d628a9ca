import { whenThere } from '../../../../src/core/concurrency/now-or-later.ts'

test('what is there goes on at once, and what is not goes on when it is', async () => {
  expect(whenThere(1, (value) => value + 1)).toBe(2)
  const later = whenThere(Promise.resolve(1), (value) => value + 1)
  expect(later).toBeInstanceOf(Promise)
  expect(await later).toBe(2)
})

test('what goes wrong with what is there is thrown, and with what is not, rejected', async () => {
  const fails = (): number => {
    throw new Error('on purpose')
  }
  expect(() => whenThere(1, fails)).toThrow('on purpose')
  await expect(whenThere(Promise.resolve(1), fails)).rejects.toThrow('on purpose')
})
