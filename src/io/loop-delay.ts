import { createHistogram, monitorEventLoopDelay } from 'node:perf_hooks'
import type { Logger } from './log/logger.ts'

/** How late the event loop was since the guard was started, in milliseconds. */
export interface LoopDelay {
  max: number
  /** In 99 of 100 tenths of a second it was no later. */
  p99: number
  /** Two within a tenth of a second count once. */
  turnsOver50ms: number
}

export interface LoopDelayGuard {
  read(): LoopDelay
  stop(): void
}

/** The runtime looks a hundred times a second, which costs half a percent of a core; we ask it what it saw a tenth as often. */
const RESOLUTION_MS = 10
const ASK_MS = 100
/** No turn of a main loop may be longer, whatever anybody sends. */
const LONG_TURN_MS = 50
/** A loop that is late all the time must not fill the log. */
const WARN_EVERY_MS = 10_000

/**
 * Measures how long callbacks hold up the event loop: a timer is late by the rest of the turn in which it was due. A turn that is shorter than 50 ms is never
 * counted as long, and none that is longer than 60 ms is missed, but one that begins in the 10 ms after we asked: the runtime measures from
 * its next look on. Warns of long ones, at most once in ten seconds, with the worst of them.
 * @param told the worst of each tenth of a second.
 */
export function guardLoopDelay(logger: Logger, told: (worstMs: number) => void = () => {}): LoopDelayGuard {
  const recent = monitorEventLoopDelay({ resolution: RESOLUTION_MS })
  /** The worst of each tenth of a second, in microseconds. */
  const worsts = createHistogram()
  let turnsOver50ms = 0
  let unsaid = { turns: 0, worst: 0 }
  let warnedAt = Number.NEGATIVE_INFINITY

  function look(): void {
    if (recent.count === 0) return
    const worst = Math.max(0, recent.max / 1e6 - RESOLUTION_MS) // recorded is the time between two looks, in nanoseconds
    worsts.record(Math.max(1, Math.round(worst * 1000)))
    recent.reset()
    told(worst)
    if (worst > LONG_TURN_MS) {
      turnsOver50ms++
      unsaid = { turns: unsaid.turns + 1, worst: Math.max(unsaid.worst, worst) }
    }
    const now = performance.now()
    if (unsaid.turns === 0 || now - warnedAt < WARN_EVERY_MS) return
    warnedAt = now
    logger.warn(`the event loop was held up for ${Math.round(unsaid.worst)} ms`, { turnsOver50ms: unsaid.turns, inAll: turnsOver50ms })
    unsaid = { turns: 0, worst: 0 }
  }

  recent.enable()
  const timer = setInterval(look, ASK_MS).unref()
  return {
    read: () => ({
      max: worsts.count === 0 ? 0 : worsts.max / 1000,
      p99: worsts.count === 0 ? 0 : worsts.percentile(99) / 1000,
      turnsOver50ms,
    }),
    stop() {
      clearInterval(timer)
      recent.disable()
    },
  }
}
