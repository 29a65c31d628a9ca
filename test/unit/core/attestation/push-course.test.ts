import fc from 'fast-check'
import {
  beginCourse,
  LONGEST_INTERVAL_MS,
  LONGEST_WAIT_MS,
  nextStep,
  type PushCourse,
  type PushEvent,
  type PushPace,
  SESSIONS_AT_ONCE,
  SHORTEST_PAUSE_MS,
} from '../../../../src/core/attestation/push-course.ts'

const pace: PushPace = { intervalMs: 60_000, initialDelayMs: 10_000, maxRetries: 5, maxDelayMs: 300_000 }
const MIDDLE = 0.5
const answer = (status: number, more: { code?: string; retryAfterMs?: number } = {}): PushEvent => ({
  kind: 'answered',
  status,
  code: more.code ?? '',
  retryAfterMs: more.retryAfterMs ?? null,
})
const at = (task: PushCourse['task'], more: Partial<PushCourse> = {}): PushCourse => ({ ...beginCourse(pace), task, ...more })
const follow = (course: PushCourse, events: readonly PushEvent[], random = MIDDLE) =>
  events.reduce<{ course: PushCourse; pauses: number[]; tasks: string[] }>(
    (so, event) => {
      const { course: next, pauseMs } = nextStep(so.course, event, pace, random)
      return { course: next, pauses: [...so.pauses, pauseMs], tasks: [...so.tasks, next.task] }
    },
    { course, pauses: [], tasks: [] },
  )

test('a good round: session, negotiation, evidence, the pause that the verifier says, and again without a new session', () => {
  const { pauses, tasks } = follow(beginCourse(pace), [{ kind: 'proved' }, { kind: 'collected' }, { kind: 'accepted', seconds: 2 }])
  expect(tasks).toEqual(['negotiate', 'submit', 'negotiate'])
  expect(pauses).toEqual([0, 0, 2000])
})

test('the pause is the one before where a verifier says none; never shorter than half a second, never longer than a day', () => {
  const after = (seconds: number | null, course = at('submit')) => nextStep(course, { kind: 'accepted', seconds }, pace, MIDDLE).pauseMs
  expect(after(null)).toBe(60_000)
  expect(after(null, at('submit', { intervalMs: 2000 }))).toBe(2000)
  expect(after(0)).toBe(SHORTEST_PAUSE_MS)
  expect(after(31_536_000)).toBe(LONGEST_INTERVAL_MS)
})

test('401 opens a new session at once, twice at most; then pauses grow', () => {
  const round: PushEvent[] = [answer(401), { kind: 'proved' }]
  const { pauses } = follow(at('negotiate'), Array.from({ length: 6 }, () => round).flat())
  const afterRefusals = pauses.filter((_, i) => i % 2 === 0)
  expect(afterRefusals.slice(0, SESSIONS_AT_ONCE)).toEqual([0, 0])
  expect(afterRefusals.slice(SESSIONS_AT_ONCE)).toEqual([10_000, 20_000, 40_000, 80_000])
})

test('401 to evidence alone, with negotiations that go well in between, is no hot loop either', () => {
  const round: PushEvent[] = [answer(401), { kind: 'proved' }, { kind: 'collected' }]
  const { pauses } = follow(at('submit'), Array.from({ length: 5 }, () => round).flat())
  expect(pauses.filter((pause) => pause > 0)).toHaveLength(3)
})

test('403 drops the token and pauses for the interval and up to a fifth more', () => {
  for (const random of [0, 0.99]) {
    const { course, pauseMs } = nextStep(at('negotiate'), answer(403), pace, random)
    expect(course.task).toBe('session')
    expect(pauseMs).toBe(60_000 * (1 + random / 5))
  }
})

test.each(['old_attestation', 'challenges_expired', 'evidence_immutable'])('403 %s is of this attestation: the token stays', (code) => {
  const { course, pauseMs } = nextStep(at('submit'), answer(403, { code }), pace, MIDDLE)
  expect(course.task).toBe('negotiate')
  expect(pauseMs).toBe(10_000)
})

test.each([400, 404, 409, 415, 422, 301])(
  '%i keeps the token: the verifier must be asked differently, or the machine enrolled',
  (status) => {
    const { course, pauseMs } = nextStep(at('negotiate'), answer(status), pace, 0)
    expect(course.task).toBe('negotiate')
    expect(pauseMs).toBe(60_000)
  },
)

test.each([401, 403, 404, 400])('%i to a proof: another session after the pause', (status) => {
  const { course, pauseMs } = nextStep(at('session'), answer(status), pace, 0)
  expect(course.task).toBe('session')
  expect(pauseMs).toBe(60_000)
})

test.each([408, 429, 500, 503])(
  '%i repeats the same task after pauses that double up to their limit; then it begins anew, for ever',
  (status) => {
    const { pauses, tasks } = follow(
      at('submit'),
      Array.from({ length: 8 }, () => answer(status)),
    )
    expect(pauses).toEqual([10_000, 20_000, 40_000, 80_000, 160_000, 60_000, 10_000, 20_000])
    expect(tasks.slice(0, 5)).toEqual(Array(5).fill('submit'))
    expect(tasks.slice(5)).toEqual(Array(3).fill('negotiate'))
  },
)

test('agents that lose a verifier together do not come back together', () => {
  const pauses = [0, 0.25, 0.75, 0.99].map((random) => nextStep(at('negotiate'), { kind: 'lost' }, pace, random).pauseMs)
  expect(new Set(pauses).size).toBe(4)
  expect(Math.min(...pauses)).toBe(5000)
  expect(Math.max(...pauses)).toBeLessThan(15_000)
})

test('Retry-After is waited for, also with a refusal, but for an hour at most', () => {
  expect(nextStep(at('negotiate'), answer(429, { retryAfterMs: 7000 }), pace, 0).pauseMs).toBe(7000)
  expect(nextStep(at('negotiate'), answer(403, { retryAfterMs: 7000 }), pace, 0).pauseMs).toBe(7000)
  expect(nextStep(at('negotiate'), answer(401, { retryAfterMs: 7000 }), pace, 0).pauseMs).toBe(7000)
  expect(nextStep(at('negotiate'), answer(503, { retryAfterMs: 0 }), pace, 0).pauseMs).toBe(SHORTEST_PAUSE_MS)
  expect(nextStep(at('negotiate'), answer(503, { retryAfterMs: 1e12 }), pace, 0).pauseMs).toBe(LONGEST_WAIT_MS)
})

test('what cannot be collected is tried again with a new negotiation; a key that cannot be proved with a new session', () => {
  expect(nextStep(at('negotiate'), { kind: 'not-collected' }, pace, 0)).toMatchObject({ course: { task: 'negotiate' }, pauseMs: 60_000 })
  expect(nextStep(at('session'), { kind: 'not-collected' }, pace, 0)).toMatchObject({ course: { task: 'session' }, pauseMs: 60_000 })
})

test('whatever a verifier answers and whatever is configured: in any twenty tries there are at most a few without a pause', () => {
  const event: fc.Arbitrary<PushEvent> = fc.oneof(
    fc.constant<PushEvent>({ kind: 'lost' }),
    fc.constant<PushEvent>({ kind: 'not-collected' }),
    fc.record({ kind: fc.constant('accepted' as const), seconds: fc.option(fc.nat()) }),
    fc.record({ kind: fc.constant('unproved' as const), retryAfterMs: fc.option(fc.nat()) }),
    fc.record({
      kind: fc.constant('answered' as const),
      status: fc.integer({ min: 100, max: 999 }),
      code: fc.constantFrom('', 'old_attestation', 'evidence_immutable'),
      retryAfterMs: fc.option(fc.nat()),
    }),
  )
  const odd = fc.record({ intervalMs: fc.nat(), initialDelayMs: fc.nat(), maxRetries: fc.nat({ max: 1000 }), maxDelayMs: fc.nat() })
  fc.assert(
    fc.property(
      odd,
      fc.array(event, { minLength: 20, maxLength: 60 }),
      fc.double({ min: 0, max: 0.999, noNaN: true }),
      (given, answers, random) => {
        let course = beginCourse(given)
        let atOnce = 0
        for (const one of answers) {
          const step = nextStep(course, one, given, random)
          course = step.course
          if (one.kind === 'accepted') atOnce = 0
          if (step.pauseMs === 0) atOnce++
          else expect(step.pauseMs).toBeGreaterThanOrEqual(SHORTEST_PAUSE_MS)
          expect(step.pauseMs).toBeLessThanOrEqual(LONGEST_INTERVAL_MS)
          expect(atOnce).toBeLessThanOrEqual(SESSIONS_AT_ONCE)
        }
      },
    ),
  )
})
