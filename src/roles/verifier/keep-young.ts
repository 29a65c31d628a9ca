import { causeChain } from '../../core/errors.ts'
import type { Clock } from '../../io/clock.ts'
import type { HistoryStore } from '../../io/db/history-store.ts'
import type { SweptRevocations } from '../../io/db/sweep-revocations.ts'
import type { Logger } from '../../io/log/logger.ts'

export interface Aging {
  history: Pick<HistoryStore, 'sweep'>
  /** `sweepRevocations` */
  sweepRevocations(swept: SweptRevocations, signal: AbortSignal): Promise<number>
  /** `revocation_retry_seconds` */
  retrySeconds: number
  clock: Pick<Clock, 'now'>
  logger: Logger
}

const HOUR_MS = 3_600_000

/** Erases what is too old, each hour: nothing that is stored of what happens may grow for ever. @returns what ends it; when that returns, nothing is being erased any more. */
export function keepYoung({ history, sweepRevocations, retrySeconds, clock, logger }: Aging): () => Promise<void> {
  const end = new AbortController()
  const kept = (what: string) => (error: unknown) =>
    logger.error(`old entries of ${what} cannot be removed yet: ${causeChain(error).join(': ')}`)
  let sweeping = Promise.resolve()

  /** An agent is given up on when its time is over, and some time later says what became of what it was told before. */
  async function sweep(): Promise<void> {
    await history.sweep().catch(kept('the history'))
    const doneBy = clock.now() - HOUR_MS
    await sweepRevocations({ endedBy: doneBy - retrySeconds * 1000, doneBy }, end.signal).catch(kept('the revocations'))
  }

  const begin = () => {
    sweeping = sweeping.then(() => (end.signal.aborted ? undefined : sweep()))
  }
  const timer = setInterval(begin, HOUR_MS).unref()
  begin()
  return async () => {
    clearInterval(timer)
    end.abort()
    await sweeping
  }
}
