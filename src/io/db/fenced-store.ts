import type { Kysely } from 'kysely'
import { type FollowerStore, followerStore } from './follower-store.ts'
import { groupedChanges } from './grouped-changes.ts'
import type { LeaseStore } from './lease-store.ts'
import { changing } from './seam.ts'
import type { VerifierStore } from './verifier-store.ts'

/**
 * The same store, of which this verifier changes only what is leased to it: the lease is looked at in the transaction of each change, so that a verifier that was paused, or cut off, changes
 * nothing that another one attests by now. @param storeOn the store of a database, or of a transaction.
 */
export function fencedStore(db: Kysely<unknown>, storeOn: (db: Kysely<unknown>) => VerifierStore, leases: LeaseStore): VerifierStore {
  const change = groupedChanges(db, async () => undefined)
  const ours = <T>(agentId: string, work: (store: VerifierStore) => Promise<T>): Promise<T> =>
    change(async (transaction) => {
      await leases.check(transaction, agentId)
      return work(storeOn(transaction))
    })
  return {
    ...storeOn(db),
    async insert(enrolled) {
      const { agentId } = enrolled.enrolment
      const remember = await change(async (transaction) => {
        await storeOn(transaction).insert(enrolled)
        return leases.begin(transaction, agentId)
      })
      remember()
      return null // another verifier may have changed a policy, and this one have heard of it, before the agent was known to be its own
    },
    replace: (enrolled) => ours(enrolled.enrolment.agentId, (store) => store.replace(enrolled)),
    saveState: (agentId, given) => ours(agentId, (store) => store.saveState(agentId, given)),
    move: (agentId, address, event) => ours(agentId, (store) => store.move(agentId, address, event)),
    // Those whom others attest are taken from them first: what they know in memory would be released, and stored over this. They are taken up as what was leased and is not known (`reconcile`).
    withholdAll: () =>
      change(async (transaction) => {
        const withheld = await storeOn(transaction).withholdAll()
        for (const agentId of withheld) await leases.begin(transaction, agentId)
        return withheld
      }),
    saveProgress: (rows) =>
      change(async (transaction) => {
        const held = await leases.held(
          transaction,
          rows.map(({ agentId }) => agentId),
        )
        await storeOn(transaction).saveProgress(rows.filter(({ agentId }) => held.has(agentId)))
      }),
    revoke: (agentId, notice, event) => ours(agentId, (store) => store.revoke(agentId, notice, event)),
    delete: (agentId, event) => ours(agentId, (store) => store.delete(agentId, event)),
  }
}

/** The same for what machines are known to believe. */
export const fencedFollowers = (db: Kysely<unknown>, leases: LeaseStore): FollowerStore => ({
  ...followerStore(db),
  add: (agentId, authority) =>
    changing(db, async (transaction) => {
      await leases.check(transaction, agentId)
      await followerStore(transaction).add(agentId, authority)
    }),
})
