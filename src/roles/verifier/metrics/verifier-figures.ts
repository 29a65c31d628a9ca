import type { PolicyStore } from '../../../io/db/policy-store.ts'
import type { RevocationStore } from '../../../io/db/revocation-store.ts'
import type { VerifierStore } from '../../../io/db/verifier-store.ts'
import type { Route } from '../../../io/http/route.ts'
import { NO_METER, type RoundMeter } from '../rounds/round-meter.ts'

/** What the parts of a verifier tell whoever counts. Nothing of it may throw or wait. */
export interface VerifierFigures {
  meter: RoundMeter
  /** The same stores, whose commits are timed. */
  timed<S extends Committing>(stores: S): S
  /** The same routes, whose answers are counted. */
  metered(routes: readonly Route[]): readonly Route[]
  /** The worst delay of the event loop in a tenth of a second. */
  loopDelay(worstMs: number): void
}

/** Nobody asked for figures: none are kept. */
export const NO_FIGURES: VerifierFigures = { meter: NO_METER, timed: (stores) => stores, metered: (routes) => routes, loopDelay() {} }

/** What is written: counters of many machines at once, a change of one machine's state, an enrolment, a policy, or what became of notices. */
export const COMMITS = ['progress', 'state', 'enrolment', 'policy', 'notice'] as const
export type Commit = (typeof COMMITS)[number]

/** Stores whose commits are timed. */
export interface Committing {
  store: VerifierStore
  policyStore: PolicyStore
  revocations: RevocationStore
}

/** The same stores. @param timed told of each commit that begins. */
export function timedStores<S extends Committing>(stores: S, timed: <T>(commit: Commit, work: Promise<T>) => Promise<T>): S {
  const { store, policyStore, revocations } = stores
  return {
    ...stores,
    store: {
      ...store,
      saveProgress: (rows) => timed('progress', store.saveProgress(rows)),
      saveState: (agentId, change) => timed('state', store.saveState(agentId, change)),
      move: (agentId, change, event) => timed('state', store.move(agentId, change, event)),
      insert: (change) => timed('enrolment', store.insert(change)),
      replace: (change) => timed('enrolment', store.replace(change)),
      revoke: (agentId, notice, event) => timed('enrolment', store.revoke(agentId, notice, event)),
      delete: (agentId, event) => timed('enrolment', store.delete(agentId, event)),
    },
    policyStore: {
      ...policyStore,
      put: (kind, name, given) => timed('policy', policyStore.put(kind, name, given)),
      delete: (kind, name) => timed('policy', policyStore.delete(kind, name)),
    },
    revocations: { ...revocations, record: (results) => timed('notice', revocations.record(results)) },
  }
}
