import fc from 'fast-check'
import { createEnrolmentPace, type EnrolmentPace } from '../../../../../src/roles/verifier/rounds/enrolment-pace.ts'

let nowMs: number
let pace: EnrolmentPace
beforeEach(() => {
  nowMs = 0
  pace = createEnrolmentPace({ monotonic: () => nowMs })
})

/** Of a second in which so many are enrolled, and one that waits has waited so long already: how many first rounds begin. */
function secondWith(enrolments: number, lateMs: number): number {
  let begun = 0
  for (let i = 0; i < 50; i++) {
    nowMs += 20
    const due = Math.floor(((i + 1) * enrolments) / 50) - Math.floor((i * enrolments) / 50)
    for (let n = 0; n < due; n++) pace.enrolled()
    while (begun < 2000 && pace.mayBegin(lateMs)) begun++
  }
  return begun
}

test('where nobody enrols, and where an operator enrols a few, first rounds begin at once', () => {
  expect(secondWith(0, 0)).toBe(2000)
  expect(secondWith(10, 0)).toBe(2000)
})

test('while many are enrolled some twenty begin a second', () => {
  secondWith(500, 0)
  expect(secondWith(500, 0)).toBeGreaterThanOrEqual(19)
  expect(secondWith(500, 0)).toBeLessThanOrEqual(21)
})

test('a moment after the last enrolment they begin at once again', () => {
  secondWith(500, 0)
  nowMs += 500
  expect(secondWith(0, 0)).toBe(2000)
})

test('the longer one has waited, the more begin: nobody is kept back for more than about half a minute', () => {
  const begun = [0, 5000, 10_000, 20_000, 30_000, 10_000_000].map((lateMs) => {
    secondWith(500, 0)
    return secondWith(500, lateMs)
  })
  expect(begun.map((count) => Math.round(count / 20))).toEqual([1, 2, 4, 16, 64, 64])
})

test('with any enrolments, however many, all machines that wait in a line are begun, each within 40 seconds', () => {
  fc.assert(
    fc.property(fc.array(fc.integer({ min: 0, max: 500 }), { minLength: 1, maxLength: 40 }), (seconds) => {
      nowMs = 0
      pace = createEnrolmentPace({ monotonic: () => nowMs })
      const line: number[] = []
      let longest = 0
      for (let tick = 0; tick < seconds.length * 50 || line.length > 0; tick++) {
        nowMs += 20
        for (let i = 0; i < Math.round((seconds[Math.floor(tick / 50)] ?? 0) / 50); i++) {
          pace.enrolled()
          line.push(nowMs)
        }
        while (line.length > 0 && pace.mayBegin(nowMs - line[0]!)) longest = Math.max(longest, nowMs - line.shift()!)
      }
      expect(longest).toBeLessThan(40_000)
    }),
    { numRuns: 30 },
  )
})
