import { setTimeout as sleep } from 'node:timers/promises'
import { DURATIONS, type Metrics } from './metrics.ts'
import { isRefusal, unwritableBy } from './unwritable.ts'

/** How a database can be looked at. */
export interface Probe {
  /** A server may be away, and nobody have noticed. */
  readonly isServer: boolean
  /** A commit that changes nothing. */
  tryWriting(): Promise<unknown>
}

/** Commits of a role: how long they take, how many failed, and whether the database takes any. */
export interface CommitMeter<C extends string> {
  timed<T>(commit: C, work: Promise<T>): Promise<T>
  /**
   * Why the last one failed; null when it did not. Where it did it is tried again, as nobody may ask for another commit meanwhile, and so it is at a server that has taken none of late.
   * @param probe null before the database is open.
   */
  unwritable(probe: Probe | null): Promise<string | null>
}

/** A server that has taken a commit within this time is there. */
const FRESH_MS = 1000
/** Whoever asks waits for a try as long as this: one that takes longer counts for the next who asks. */
const WAIT_MS = 1000

/** @param help what is committed. */
export function addCommitMetrics<C extends string>(metrics: Metrics, commits: readonly C[], help: string): CommitMeter<C> {
  const durations = metrics.tallies(
    { name: 'commit_duration_seconds', help: `Time of a commit, or of its refusal: ${help}.`, labels: ['commit'] },
    commits,
    DURATIONS,
  )
  const text = 'Commits that failed; what was refused because of what is stored is not among them.'
  const failures = metrics.counter<'commit'>({ name: 'commit_failures_total', help: text, labels: ['commit'] })
  for (const commit of commits) failures.inc({ commit }, 0)
  let trouble: string | null = null
  let wellAt = Number.NEGATIVE_INFINITY
  let trying: Promise<void> | null = null

  function well(): void {
    trouble = null
    wellAt = performance.now()
  }

  async function tryAgain(probe: Probe): Promise<void> {
    try {
      await probe.tryWriting()
      well()
    } catch (error) {
      trouble = unwritableBy(error)
    }
    trying = null
  }

  return {
    async timed(commit, work) {
      const began = performance.now()
      try {
        const result = await work
        well()
        return result
      } catch (error) {
        if (!isRefusal(error)) {
          trouble = unwritableBy(error)
          failures.inc({ commit })
        }
        throw error
      } finally {
        durations[commit].add((performance.now() - began) / 1000)
      }
    },
    async unwritable(probe) {
      const isOld = probe?.isServer && performance.now() - wellAt > FRESH_MS
      if (probe && (trouble !== null || isOld)) {
        trying ??= tryAgain(probe)
        await Promise.race([trying, sleep(WAIT_MS, undefined, { ref: false })])
      }
      return trouble
    },
  }
}
