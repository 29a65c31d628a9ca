import type { Kysely } from 'kysely'
import { concernedBy, type EnrolmentChange, isPlain } from './enrolment-change.ts'
import { type FollowerStore, followerStore } from './follower-store.ts'
import type { Together } from './grouped-changes.ts'
import type { LeaseStore } from './lease-store.ts'
import { changesOf } from './mailbox-store.ts'
import { changing } from './seam.ts'
import type { UnfencedStore, VerifierStore } from './verifier-store.ts'

/**
 * The same store, of which this verifier changes only what is leased to it: the lease is looked at in the transaction of each change, so that a verifier that was paused, or cut off, changes
 * nothing that another one attests by now. @param storeOn the store of a database, or of a transaction.
 */
export function fencedStore(db: Kysely<unknown>, storeOn: (db: Kysely<unknown>) => UnfencedStore, leases: LeaseStore): VerifierStore {
  const change = changesOf(db)
  const enrolling = enrollingUnder(leases, storeOn)
  const ours = <T>(agentId: string, work: (store: VerifierStore) => Promise<T>, about: readonly string[] | null = [agentId]) =>
    change<T>(async (transaction) => {
      await leases.check(transaction, agentId)
      return work(storeOn(transaction))
    }, about)
  return {
    ...storeOn(db),
    async insert(enrolled) {
      const { agentId } = enrolled.enrolment
      const remember = await (isPlain(enrolled)
        ? change.together(enrolling, enrolled, agentId)
        : change((transaction) => enrolling.one(transaction, enrolled), concernedBy(enrolled)))
      remember(agentId)
      return null // another verifier may have changed a policy, and this one have heard of it, before the agent was known to be its own
    },
    replace: (enrolled) => ours(enrolled.enrolment.agentId, (store) => store.replace(enrolled), concernedBy(enrolled)),
    saveState: (agentId, given) => ours(agentId, (store) => store.saveState(agentId, given)),
    move: (agentId, address, event) => ours(agentId, (store) => store.move(agentId, address, event)),
    // Those whom others attest are taken from them first: what they know in memory would be released, and stored over this. They are taken up as what was leased and is not known (`reconcile`).
    withholdAll: () =>
      change(async (transaction) => {
        const withheld = await storeOn(transaction).withholdAll()
        await leases.seize(transaction, withheld)
        return withheld
      }),
    saveProgress(rows) {
      const agentIds = rows.map(({ agentId }) => agentId)
      return change(async (transaction) => {
        const held = await leases.held(transaction, agentIds)
        await storeOn(transaction).saveProgress(rows.filter(({ agentId }) => held.has(agentId)))
      }, agentIds)
    },
    revoke: (agentId, notice, event) => ours(agentId, (store) => store.revoke(agentId, notice, event)),
    delete: (agentId, event) => ours(agentId, (store) => store.delete(agentId, event)),
  }
}

/** Enrolments, each with its lease in the same transaction. Their result makes the lease known. */
const enrollingUnder = (
  leases: LeaseStore,
  storeOn: (db: Kysely<unknown>) => UnfencedStore,
): Together<unknown, EnrolmentChange, (agentId: string) => void> => ({
  async one(transaction, enrolled) {
    await storeOn(transaction).insert(enrolled)
    return leases.begin(transaction, [enrolled.enrolment.agentId])
  },
  async several(transaction, enrolled) {
    const results = await storeOn(transaction).insertPlain(enrolled)
    const stored = enrolled.filter((_, i) => !(results[i] instanceof Error))
    const remember = await leases.begin(
      transaction,
      stored.map(({ enrolment }) => enrolment.agentId),
    )
    return results.map((result) => (result instanceof Error ? result : remember))
  },
})

/** The same for what machines are known to believe. */
export const fencedFollowers = (db: Kysely<unknown>, leases: LeaseStore): FollowerStore => ({
  ...followerStore(db),
  add: (agentId, authority) =>
    changing(db, async (transaction) => {
      await leases.check(transaction, agentId)
      await followerStore(transaction).add(agentId, authority)
    }),
})
