import { growthOf, type Sample, windowsOf } from '../../bench/soak/windows.ts'

/** A sample each ten seconds. */
const samples = (count: number, change: (i: number) => Partial<Sample> = () => ({})): Sample[] =>
  Array.from({ length: count + 1 }, (_, i) => ({
    ...{ seconds: 10 * i, pssMb: 200, descriptors: 50, databaseMb: 4, otherMb: 0.1, attested: 10_000 * i, cpuMs: 2000 * i, writtenMb: i },
    ...change(i),
  }))
const verdicts = (of: readonly Sample[]) => Object.fromEntries(growthOf(windowsOf(of, 10), 1).map(({ figure, isFlat }) => [figure, isFlat]))

test('windows have their own rate and cost, and medians that one outlier does not move', () => {
  const windows = windowsOf(
    samples(120, (i) => (i === 5 ? { pssMb: 900 } : {})),
    10,
  )
  expect(windows).toHaveLength(10)
  expect(windows[0]).toMatchObject({ fromMinute: 0, rate: 1000, cpuMsEach: 0.2, pssMb: 200, writtenKb: 102.4 })
  expect(windows[9]!.fromMinute).toBe(18)
})

test('a verifier that stays as it is, is flat, also when its heap finds its size at the beginning', () => {
  const settled = samples(120, (i) => ({ pssMb: i < 10 ? 150 + i : 200 + (i % 3) }))
  expect(verdicts(settled)).toEqual({ pssMb: true, descriptors: true, databaseMb: true, otherMb: true })
})

test('what grows all the time is told, each by itself', () => {
  expect(verdicts(samples(120, (i) => ({ pssMb: 200 + i / 4 })))).toMatchObject({ pssMb: false, descriptors: true })
  expect(verdicts(samples(120, (i) => ({ descriptors: 50 + Math.floor(i / 10) })))).toMatchObject({ descriptors: false, pssMb: true })
  expect(verdicts(samples(120, (i) => ({ databaseMb: 4 + i / 10 })))).toMatchObject({ databaseMb: false })
  expect(verdicts(samples(120, (i) => ({ otherMb: 0.1 + i / 10 })))).toMatchObject({ otherMb: false })
})

test('a run of one window is judged by that', () => {
  expect(growthOf(windowsOf(samples(1), 1), 0).every(({ isFlat }) => isFlat)).toBe(true)
})
