import type { Clock } from '../../../io/clock.ts'

/** How often machines are asked while an operator enrols many: he is answered first, within bounds (decision 143). */
export interface EnrolmentPace {
  /** A machine was enrolled. */
  enrolled(): void
  /** Whether a machine may be asked for the first time now. @param lateMs for how long the one has been due that has waited longest. */
  mayBegin(lateMs: number): boolean
  /** How many that were attested before may be asked at once while the event loop has no time left. @param lateMs as above. */
  atOnce(lateMs: number): number
}

/** So many in this time are many. */
const MANY = 8
const WITHIN_MS = 400
/** While many are enrolled and the event loop has no time left, so many a second begin. Doubled for each `DOUBLES_MS` that the one has waited that has waited longest: after half a minute nothing holds them back any more. */
const LEAST_A_SECOND = 20
const DOUBLES_MS = 5000
const MAX_DOUBLED = 6
/** With this share of its time left nothing is held back; between that and none, what is left is given to them. */
const ENOUGH_LEFT = 0.3
const OF_ENOUGH_A_SECOND = 250
/** Of which so many at once, besides those of a twentieth of a second: it is not looked more often. */
const BURST = 8
/** Of machines that were attested before, while many are enrolled; doubled in the same way. And otherwise. */
const [FEW, ENOUGH] = [3, 16]

/** @param busy the share of the last moment in which the event loop had something to do. */
export function createEnrolmentPace(clock: Pick<Clock, 'monotonic'>, busy: () => number): EnrolmentPace {
  const last = new Array<number>(MANY).fill(Number.NEGATIVE_INFINITY)
  let count = 0
  let tokens = BURST
  let tokensAt = clock.monotonic()
  const areMany = (now: number) => now - last[count % MANY]! <= WITHIN_MS
  return {
    enrolled() {
      last[count++ % MANY] = clock.monotonic()
    },
    mayBegin(lateMs) {
      const now = clock.monotonic()
      if (!areMany(now)) return true
      const left = 1 - busy()
      if (left >= ENOUGH_LEFT) return true
      const perSecond = LEAST_A_SECOND * 2 ** Math.min(MAX_DOUBLED, lateMs / DOUBLES_MS) + (left / ENOUGH_LEFT) * OF_ENOUGH_A_SECOND
      tokens = Math.min(BURST + perSecond / 20, tokens + ((now - tokensAt) / 1000) * perSecond)
      tokensAt = now
      if (tokens < 1) return false
      tokens--
      return true
    },
    atOnce: (lateMs) => (areMany(clock.monotonic()) ? Math.min(ENOUGH, Math.floor(FEW * 2 ** (lateMs / DOUBLES_MS))) : ENOUGH),
  }
}
