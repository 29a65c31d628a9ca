import { performance } from 'node:perf_hooks'
import { createSlots, secondsToNext } from '../../../core/attestation/push-interval.ts'
import type { Clock } from '../../../io/clock.ts'
import type { Logger } from '../../../io/log/logger.ts'

/** When machines that bring their evidence come again: at the configured interval, and later while there is too much to do. */
export interface Crowd {
  /** Seconds until the next attestation of the machine whose evidence is taken now. */
  secondsToNext(): number
  /** Seconds by which that was longer than configured, of late. */
  readonly delay: number
  stop(): void
}

export interface CrowdOptions {
  /** Seconds. */
  quoteInterval: number
  clock: Pick<Clock, 'monotonic'>
  logger: Pick<Logger, 'info'>
  /** Of the event loop since the last call. */
  load?: () => LoopWork
}

interface LoopWork {
  /** Milliseconds in which it was busy. */
  busyMs: number
  /** As a share, 0 to 1. */
  share: number
}

const PERIOD_MS = 1000
/** There was no time left in a period. */
const FULL_SHARE = 0.98
/** Of what was a period ago; so some five seconds count. */
const FADES_BY = 0.8
/** What is on the edge is not told each second. */
const QUIET_PERIODS = 10

export function createCrowd({ quoteInterval, clock, logger, load = createLoad() }: CrowdOptions): Crowd {
  const usual = secondsToNext(quoteInterval)
  const slots = createSlots(quoteInterval)
  let [busy, taken] = [0, 0]
  /** Seconds more than usual, in this period and since it was told. */
  let [delay, longest] = [0, 0]
  let shown = 0
  let quiet = 0

  function look(): void {
    const { busyMs, share } = load()
    busy = FADES_BY * busy + busyMs
    slots.learn(busy, taken, share >= FULL_SHARE)
    taken *= FADES_BY
    shown = delay
    delay = 0
    quiet = shown > 0 ? 0 : quiet + 1
    if (shown > 0 && longest === 0)
      logger.info('there is more work than time: machines that bring their evidence are told to come later', {
        intervalSeconds: usual + shown,
        insteadOf: usual,
      })
    longest = Math.max(longest, shown)
    if (longest === 0 || quiet < QUIET_PERIODS) return
    logger.info('machines that bring their evidence come as often as configured again', { longestIntervalSeconds: usual + longest })
    longest = 0
  }

  const timer = setInterval(look, PERIOD_MS).unref()
  return {
    secondsToNext() {
      taken++
      const seconds = slots.take(clock.monotonic())
      delay = Math.max(delay, seconds - usual)
      return seconds
    },
    get delay() {
      return Math.max(shown, delay)
    },
    stop: () => clearInterval(timer),
  }
}

/** What keeps the thread from its callbacks, other processes among it, counts as busy. */
function createLoad(): () => LoopWork {
  let last = performance.eventLoopUtilization()
  return () => {
    const now = performance.eventLoopUtilization()
    const { active, utilization } = performance.eventLoopUtilization(now, last)
    last = now
    return { busyMs: active, share: utilization }
  }
}
