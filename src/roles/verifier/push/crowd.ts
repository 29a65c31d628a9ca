import { performance } from 'node:perf_hooks'
import { secondsToNext, stretchAfter } from '../../../core/attestation/push-interval.ts'
import type { Logger } from '../../../io/log/logger.ts'

/** When machines that bring their evidence come again: at the configured interval, and later while the verifier has too much to do. */
export interface Crowd {
  /** Seconds until the next attestation of a machine whose evidence is taken now. */
  secondsToNext(): number
  /** How many times as long as configured the interval is now; 1 for as it is configured. */
  readonly stretch: number
  stop(): void
}

export interface CrowdOptions {
  /** Seconds. */
  quoteInterval: number
  logger: Pick<Logger, 'info'>
  /** The share of the time since the last call in which the event loop was busy. */
  busyShare?: () => number
}

const PERIOD_MS = 500
/** One long turn is no crowd. */
const BUSY_PERIODS = 2

export function createCrowd({ quoteInterval, logger, busyShare = createBusyShare() }: CrowdOptions): Crowd {
  const usual = secondsToNext(quoteInterval)
  let stretch = 1
  let longest = usual
  let busyPeriods = 0
  const told = () => secondsToNext(quoteInterval, stretch)

  function look(): void {
    const share = busyShare()
    const after = stretchAfter(stretch, share)
    busyPeriods = after > stretch ? busyPeriods + 1 : 0
    if (after > stretch && busyPeriods < BUSY_PERIODS) return
    stretch = after
    if (told() > usual && longest === usual)
      logger.info('there is more to do than time for it: machines that bring their evidence are told to come less often', {
        intervalSeconds: told(),
        insteadOf: usual,
      })
    if (told() === usual && longest > usual) {
      logger.info('machines that bring their evidence come as often as configured again', { longestIntervalSeconds: longest })
      longest = usual
    } else longest = Math.max(longest, told())
  }

  const timer = setInterval(look, PERIOD_MS).unref()
  return {
    secondsToNext: told,
    get stretch() {
      return stretch
    },
    stop: () => clearInterval(timer),
  }
}

/** What keeps the thread from its callbacks, other processes among it, counts as busy. */
function createBusyShare(): () => number {
  let last = performance.eventLoopUtilization()
  return () => {
    const now = performance.eventLoopUtilization()
    const { utilization } = performance.eventLoopUtilization(now, last)
    last = now
    return utilization
  }
}
