import { poll } from '../../../src/io/poll.ts'

/** A clock that only pauses move. */
function bed(timeoutSeconds: number) {
  let now = 5000
  const pauses: number[] = []
  const pause = async (milliseconds: number) => {
    pauses.push(milliseconds)
    now += milliseconds
  }
  return { pauses, options: { clock: { monotonic: () => now }, timeoutSeconds, firstPauseMs: 10, longestPauseMs: 20, pause } }
}

test('what is there already is found without a pause', async () => {
  const { pauses, options } = bed(0)
  expect(await poll(options, async () => null)).toBeNull()
  expect(pauses).toEqual([])
})

test('pauses grow up to the longest', async () => {
  const { pauses, options } = bed(60)
  let asked = 0
  expect(await poll(options, async () => (++asked === 6 ? asked : undefined))).toBe(6)
  expect(pauses).toEqual([10, 14, 19.599999999999998, 20, 20])
})

test('it is given up before a pause that would end after the time that is given', async () => {
  const { pauses, options } = bed(0.03)
  let asked = 0
  const probe = async () => {
    asked++
    return undefined
  }
  expect(await poll(options, probe)).toBeUndefined()
  expect({ asked, pauses }).toEqual({ asked: 3, pauses: [10, 14] })
})

test('a failure ends it', async () => {
  const { pauses, options } = bed(60)
  await expect(poll(options, async () => Promise.reject(new Error('no')))).rejects.toThrow('no')
  expect(pauses).toEqual([])
})
