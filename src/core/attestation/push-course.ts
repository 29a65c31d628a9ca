/** What an agent that brings its evidence does next: prove its key, negotiate, or send what it has collected. */
export type PushTask = 'session' | 'negotiate' | 'submit'

/** Where such an agent stands with its verifier. */
export interface PushCourse {
  readonly task: PushTask
  /** Tries that were in vain, one after another, since the pauses began to grow. */
  readonly failures: number
  /** Sessions that were opened without a pause since evidence was accepted. */
  readonly sessions: number
  /** The pause between two attestations that the verifier asked for last. */
  readonly intervalMs: number
}

/** What came of a task. */
export type PushEvent =
  /** A token is there. */
  | { readonly kind: 'proved' }
  /** The evidence that was asked for is collected. */
  | { readonly kind: 'collected' }
  /** What was asked for, or the proof of the key, cannot be brought. */
  | { readonly kind: 'not-collected' }
  /** @param seconds until the next attestation; null when the verifier does not say. */
  | { readonly kind: 'accepted'; readonly seconds: number | null }
  /** The proof was read and did not count: the machine is not enrolled there, or the challenge had ended. */
  | { readonly kind: 'unproved'; readonly retryAfterMs: number | null }
  /** Any other answer. @param code of its error document, or empty. */
  | { readonly kind: 'answered'; readonly status: number; readonly code: string; readonly retryAfterMs: number | null }
  /** No answer, or none that can be read. */
  | { readonly kind: 'lost' }

export interface PushPace {
  /** Of a verifier that names no interval, and after a refusal. */
  readonly intervalMs: number
  readonly initialDelayMs: number
  readonly maxRetries: number
  readonly maxDelayMs: number
}

/** What to do, and when. */
export interface PushStep {
  readonly course: PushCourse
  readonly pauseMs: number
}

/** Whatever is configured or said: two tries are never nearer to each other, except for a new session. */
export const SHORTEST_PAUSE_MS = 500
/** A verifier may send an agent away for an hour. */
export const LONGEST_WAIT_MS = 3_600_000
/** And let a day pass between two attestations. A timer of more than 24 days would fire at once. */
export const LONGEST_INTERVAL_MS = 86_400_000
/** 401 says that a new proof helps. Once in a while that is so; a verifier that always says it must not make a hot loop. */
export const SESSIONS_AT_ONCE = 2

/** With these, 403 speaks of this attestation and not of the machine: the token stays. */
const OF_THIS_ATTESTATION: ReadonlySet<string> = new Set(['old_attestation', 'challenges_expired', 'evidence_immutable'])

export const beginCourse = ({ intervalMs }: PushPace): PushCourse => ({ task: 'session', failures: 0, sessions: 0, intervalMs })

/**
 * The next step. Nothing is repeated without a pause, but for a new session after a 401, and that twice at most; pauses after failures double and are spread at random, so that
 * agents that lost their verifier together do not come back together. After `maxRetries` evidence that could not be sent is given up, and the attestation begins anew.
 * @param random from 0 up to 1.
 */
export function nextStep(course: PushCourse, event: PushEvent, pace: PushPace, random: number): PushStep {
  switch (event.kind) {
    case 'proved':
      return { course: { ...course, task: 'negotiate' }, pauseMs: 0 }
    case 'collected':
      return { course: { ...course, task: 'submit' }, pauseMs: 0 }
    case 'accepted': {
      const told = event.seconds === null ? course.intervalMs : event.seconds * 1000
      const intervalMs = pauseOf(told)
      return { course: { task: 'negotiate', failures: 0, sessions: 0, intervalMs }, pauseMs: intervalMs }
    }
    case 'not-collected':
      return refused(course, { task: course.task === 'session' ? 'session' : 'negotiate', retryAfterMs: null }, pace, random)
    case 'unproved':
      return refused(course, { task: 'session', retryAfterMs: event.retryAfterMs }, pace, random)
    case 'lost':
      return again(course, null, pace, random)
    case 'answered':
      return answered(course, event, pace, random)
  }
}

function answered(course: PushCourse, event: Extract<PushEvent, { kind: 'answered' }>, pace: PushPace, random: number): PushStep {
  const { status, code, retryAfterMs } = event
  if (status === 408 || status === 429 || status >= 500) return again(course, retryAfterMs, pace, random)
  if (status === 401 && course.task !== 'session') {
    const next = { ...course, task: 'session' as const }
    if (course.sessions >= SESSIONS_AT_ONCE || retryAfterMs !== null) return again(next, retryAfterMs, pace, random)
    return { course: { ...next, sessions: course.sessions + 1 }, pauseMs: 0 }
  }
  if (status === 403 && OF_THIS_ATTESTATION.has(code)) return again({ ...course, task: 'negotiate' }, retryAfterMs, pace, random)
  const losesToken = course.task === 'session' || status === 401 || status === 403
  return refused(course, { task: losesToken ? 'session' : 'negotiate', retryAfterMs }, pace, random)
}

/** A refusal lasts: somebody must do something first. The pause is the interval and up to a fifth more. */
function refused(
  course: PushCourse,
  { task, retryAfterMs }: { task: PushTask; retryAfterMs: number | null },
  { intervalMs }: PushPace,
  random: number,
): PushStep {
  const pauseMs = retryAfterMs === null ? pauseOf(intervalMs * (1 + random / 5)) : waitOf(retryAfterMs, random)
  return { course: { ...course, task, failures: 0 }, pauseMs }
}

/** From half of the doubled delay to one and a half. */
function again(course: PushCourse, retryAfterMs: number | null, pace: PushPace, random: number): PushStep {
  const goesOn = course.failures < pace.maxRetries
  const delay = goesOn ? Math.min(pace.initialDelayMs * 2 ** course.failures, pace.maxDelayMs) : pace.intervalMs
  const pauseMs = retryAfterMs === null ? pauseOf(delay * (0.5 + random)) : waitOf(retryAfterMs, random)
  const task = !goesOn && course.task === 'submit' ? 'negotiate' : course.task
  return { course: { ...course, task, failures: goesOn ? course.failures + 1 : 0 }, pauseMs }
}

const pauseOf = (milliseconds: number): number => Math.min(Math.max(milliseconds, SHORTEST_PAUSE_MS), LONGEST_INTERVAL_MS)

/** Never earlier than the verifier asked, and a little spread. */
const waitOf = (retryAfterMs: number, random: number): number =>
  Math.min(Math.max(retryAfterMs, SHORTEST_PAUSE_MS), LONGEST_WAIT_MS) * (1 + random / 10)
