import type { StateChange, VerifierStore } from '../../../io/db/verifier-store.ts'
import type { Route } from '../../../io/http/route.ts'
import { NO_METER, type RoundMeter } from '../rounds/round-meter.ts'

/** What the parts of a verifier tell whoever counts. Nothing of it may throw or wait. */
export interface VerifierFigures {
  meter: RoundMeter
  /** The same store, whose commits are timed. */
  timed(store: VerifierStore): VerifierStore
  /** The same routes, whose answers are counted. */
  metered(routes: readonly Route[]): readonly Route[]
  /** The worst delay of the event loop in a tenth of a second. */
  loopDelay(worstMs: number): void
}

/** Nobody asked for figures: none are kept. */
export const NO_FIGURES: VerifierFigures = { meter: NO_METER, timed: (store) => store, metered: (routes) => routes, loopDelay() {} }

/** What is written: counters of many machines at once, a change of one machine's state, or an enrolment. */
export const COMMITS = ['progress', 'state', 'enrolment'] as const
export type Commit = (typeof COMMITS)[number]

/** @param told how long each commit took, and what was wrong with one that failed. */
export function timedStore(store: VerifierStore, told: (commit: Commit, ms: number, error: unknown) => void): VerifierStore {
  async function timed<T>(commit: Commit, work: Promise<T>): Promise<T> {
    const began = performance.now()
    try {
      const result = await work
      told(commit, performance.now() - began, null)
      return result
    } catch (error) {
      told(commit, performance.now() - began, error)
      throw error
    }
  }
  return {
    ...store,
    saveProgress: (rows) => timed('progress', store.saveProgress(rows)),
    saveState: (agentId: string, change: StateChange) => timed('state', store.saveState(agentId, change)),
    insert: (change) => timed('enrolment', store.insert(change)),
    replace: (change) => timed('enrolment', store.replace(change)),
  }
}
