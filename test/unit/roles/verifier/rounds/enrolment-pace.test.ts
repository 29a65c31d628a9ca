import fc from 'fast-check'
import { createEnrolmentPace, type EnrolmentPace } from '../../../../../src/roles/verifier/rounds/enrolment-pace.ts'

let nowMs: number
/** Share of its time in which the event loop has something to do. */
let busy: number
let pace: EnrolmentPace
function begin(): void {
  nowMs = 0
  busy = 1
  pace = createEnrolmentPace({ monotonic: () => nowMs }, () => busy)
}
beforeEach(begin)

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

test('while many are enrolled and the event loop has no time left, some twenty begin a second', () => {
  secondWith(500, 0)
  expect(secondWith(500, 0)).toBeGreaterThanOrEqual(19)
  expect(secondWith(500, 0)).toBeLessThanOrEqual(21)
})

test('what is left of its time is given to first rounds: with more than three tenths of it, nothing is held back', () => {
  secondWith(500, 0)
  const begun = [1, 0.925, 0.85, 0.775, 0.69].map((share) => {
    busy = share
    secondWith(500, 0)
    return Math.round(secondWith(500, 0) / 20)
  })
  expect(begun).toEqual([1, 4, 7, 10, 100])
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

test('while many are enrolled, few that were attested before are asked at once, and more the longer one waits', () => {
  expect(pace.atOnce(0)).toBe(16)
  secondWith(500, 0)
  expect([0, 5000, 10_000, 13_000, 10_000_000].map(pace.atOnce)).toEqual([3, 6, 12, 16, 16])
  nowMs += 500
  expect(pace.atOnce(0)).toBe(16)
})

test('with any enrolments, however many, all machines that wait in a line are begun, each within 40 seconds', () => {
  fc.assert(
    fc.property(fc.array(fc.integer({ min: 0, max: 500 }), { minLength: 1, maxLength: 40 }), (seconds) => {
      begin()
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

/** What an enrolment and a first round cost, in milliseconds of the event loop. */
const COST = { add: 1, first: 2.5 }
const ADDERS = 32
const SIDE_BY_SIDE = 128

/** An event loop that does one thing after the other, for half a minute. @returns enrolments a second. @param waits the operator adds the next machine when the one before was attested. */
function enrolments({ waits, isPaced }: { waits: boolean; isPaced: boolean }): number {
  begin()
  const work: ('add' | 'first')[] = new Array(ADDERS).fill('add')
  const line: number[] = []
  const didInTick: number[] = []
  let starting = 0
  let added = 0
  let owed = 0
  for (let tick = 0; tick < 1500; tick++) {
    nowMs += 20
    let time = 20 - owed
    while (time > 0 && work.length > 0) {
      const kind = work.shift()!
      time -= COST[kind]
      if (kind === 'first') starting--
      else {
        added++
        pace.enrolled()
        line.push(nowMs)
      }
      if (waits === (kind === 'first')) work.push('add')
    }
    owed = Math.max(0, -time)
    didInTick.push(1 - Math.max(0, time) / 20)
    busy = didInTick.slice(-5).reduce((sum, share) => sum + share, 0) / 5
    while (line.length > 0 && starting < SIDE_BY_SIDE && (!isPaced || pace.mayBegin(nowMs - line[0]!))) {
      line.shift()
      starting++
      work.push('first')
    }
  }
  return added / 30
}

test('an operator who adds one machine after another, each when the one before was attested, is nearly as fast as without the pace', () => {
  const free = enrolments({ waits: true, isPaced: false })
  expect(free).toBeGreaterThan(250)
  expect(enrolments({ waits: true, isPaced: true })).toBeGreaterThan(0.85 * free)
})

test('an operator who adds as many as are taken is nearly twice as fast at least', () => {
  const free = enrolments({ waits: false, isPaced: false })
  expect(free).toBeLessThan(400)
  expect(enrolments({ waits: false, isPaced: true })).toBeGreaterThan(1.9 * free)
})
