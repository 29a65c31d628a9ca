import { createSlots, silenceMs } from '../../../../src/core/attestation/push-interval.ts'

/** Machines that come in this second and in which second each comes again, as a count by seconds. */
function comeAgain(slots: ReturnType<typeof createSlots>, count: number, fromMs: number, forMs: number): Map<number, number> {
  const back = new Map<number, number>()
  for (let i = 0; i < count; i++) {
    const now = fromMs + (i / count) * forMs
    const second = Math.floor(now / 1000) + slots.take(now)
    back.set(second, (back.get(second) ?? 0) + 1)
  }
  return back
}

test('a machine that brings its evidence may be silent for five intervals of whole seconds', () => {
  expect([0, 1.2, 60].map(silenceMs)).toEqual([5000, 10_000, 300_000])
})

test('an interval counts in whole seconds, and a verifier with time to spare names it as it is', () => {
  expect(createSlots(0.5).take(0)).toBe(1)
  expect(createSlots(3.2).take(0)).toBe(4)
  const slots = createSlots(4)
  for (let second = 0; second < 60; second++) {
    expect([...comeAgain(slots, 2000, second * 1000, 1000)]).toEqual([[second + 4, 2000]])
    slots.learn(950, 2000, false)
  }
})

test('fractions of the clock take no second away', () => {
  const slots = createSlots(4)
  const told = Array.from({ length: 1000 }, (_, i) => slots.take(i * 1234.5678901))
  expect(told.filter((seconds) => seconds !== 4)).toEqual([])
})

test('more than there is time for comes later, all by the same, until it fits', () => {
  const slots = createSlots(4)
  slots.learn(1000, 2000, true)
  const told = Array.from({ length: 40 }, (_, second) => {
    const before = slots.take(second * 1000)
    comeAgain(slots, 2500, second * 1000, 1000)
    return before
  })
  expect(told.slice(0, 3)).toEqual([4, 4, 4])
  expect(told).toEqual(told.toSorted((a, b) => a - b))
  expect(told.at(-1)).toBe(12)
})

test('a fleet that is back at once comes again a few at a time, within three intervals', () => {
  const slots = createSlots(4)
  slots.learn(1000, 0, true) // nothing but new connections
  slots.learn(1000, 900, true)
  const back = comeAgain(slots, 10_000, 0, 1000)
  const counts = [...back].filter(([second]) => second < 12).map(([, count]) => count)
  expect(Math.max(...counts)).toBeLessThan(1000)
  expect(Math.max(...back.keys())).toBe(12)
})

test('few machines are never told to come later, whatever keeps the verifier busy', () => {
  const slots = createSlots(4)
  slots.learn(1000, 1, true)
  expect([...comeAgain(slots, 150, 0, 1)]).toEqual([[4, 150]])
})

test.each([4, 60])(
  'when the load ends, machines that were told to come later do not all come at the end of it (interval of %i s)',
  (interval) => {
    const slots = createSlots(interval)
    slots.learn(1000, 1000, true)
    const perSecond = 1000
    let second = 0
    for (; second < 3 * interval; second++) comeAgain(slots, 3 * perSecond, second * 1000, 1000)
    expect(slots.take(second * 1000)).toBeGreaterThan(2 * interval)
    slots.learn(0, 0, false)
    const back = new Map<number, number>()
    for (const until = second + 5 * interval; second < until; second++)
      for (const [at, count] of comeAgain(slots, perSecond, second * 1000, 1000)) back.set(at, (back.get(at) ?? 0) + count)
    expect(Math.max(...back.values())).toBeLessThanOrEqual(3 * perSecond)
    expect(slots.take(second * 1000)).toBe(interval)
  },
)
