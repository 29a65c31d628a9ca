import type { Enrolment } from '../../../core/attestation/stored-agent.ts'
import type { Rate } from '../../../core/concurrency/rate-limiter.ts'
import { TokenBucket } from '../../../core/concurrency/token-bucket.ts'
import type { Failure } from '../../../core/verdict/failure.ts'
import type { JudgedFailure } from '../../../core/verdict/severity.ts'
import type { Clock } from '../../../io/clock.ts'

/** Machines that fell silent at about the same time, and are told of together. */
export interface SilentMachines {
  count: number
  /** The first of them, and why. */
  enrolment: Enrolment
  failure: Failure | JudgedFailure
  /** Some of their ids, the first among them. */
  agentIds: readonly string[]
}

interface Collected {
  first: Pick<SilentMachines, 'enrolment' | 'failure'>
  agentIds: Set<string>
}

export interface CollectedSilence {
  /** Whether this machine is told of alone; otherwise it is among those that are told of together, soon. */
  isSingle(enrolment: Enrolment, failure: Failure | JudgedFailure): boolean
  /** Whether many fell silent, now or within the last minute. */
  readonly isOfMany: boolean
  /** Tells of those that were collected so far. */
  stop(): Promise<void>
}

/** Machines that are told of alone, each to all others. More than that are silent for one cause, which is none of theirs. */
const SINGLE: Rate = { perSecond: 1 / 300, burst: 5 }
/** Those of one cause fall silent within an interval. */
const FIRST_MS = 5000
const AGAIN_MS = 60_000
const MAX_NAMED = 20

/**
 * Decides who is told of a machine that fell silent: what one cut cable makes of a fleet must not grow with the square of it (decision 150). It holds no more of them than their ids: one
 * whose silence cannot be stored now comes again and again, and counts once. @param tell of those that were collected; must not throw. @returns whether it could: otherwise they are told of later, together with those of then.
 */
export function collectSilence(clock: Pick<Clock, 'monotonic'>, tell: (machines: SilentMachines) => Promise<boolean>): CollectedSilence {
  const single = new TokenBucket(SINGLE)
  let collected: Collected | null = null
  let timer: NodeJS.Timeout | undefined
  let toldAt = Number.NEGATIVE_INFINITY
  let isStopped = false

  async function tellNow(): Promise<void> {
    clearTimeout(timer)
    if (!collected) return
    const { first, agentIds } = collected
    collected = null
    toldAt = clock.monotonic()
    if (!(await tell({ ...first, count: agentIds.size, agentIds: [...agentIds].slice(0, MAX_NAMED) }))) collect(first, agentIds)
  }

  function collect(first: Collected['first'], agentIds: Iterable<string>): void {
    if (!collected && !isStopped)
      timer = setTimeout(() => void tellNow(), Math.max(FIRST_MS, toldAt + AGAIN_MS - clock.monotonic())).unref()
    collected ??= { first, agentIds: new Set() }
    for (const agentId of agentIds) collected.agentIds.add(agentId)
  }

  return {
    isSingle(enrolment, failure) {
      if (!collected && single.take(clock.monotonic()) === 0) return true
      collect({ enrolment, failure }, [enrolment.agentId])
      return false
    },
    get isOfMany() {
      return collected !== null || clock.monotonic() - toldAt < AGAIN_MS
    },
    stop() {
      isStopped = true
      return tellNow()
    },
  }
}
