import type { Kysely } from 'kysely'
import type { LeaseStore } from './lease-store.ts'
import { changing } from './seam.ts'
import type { VerifierStore } from './verifier-store.ts'

/**
 * The same store, of which this verifier changes only what is leased to it: the lease is looked at in the transaction of each change, so that a verifier that was paused, or cut off, changes
 * nothing that another one attests by now. @param storeOn the store of a database, or of a transaction.
 */
export function fencedStore(db: Kysely<unknown>, storeOn: (db: Kysely<unknown>) => VerifierStore, leases: LeaseStore): VerifierStore {
  const ours = <T>(agentId: string, work: (store: VerifierStore) => Promise<T>): Promise<T> =>
    changing(db, async (transaction) => {
      await leases.check(transaction, agentId)
      return work(storeOn(transaction))
    })
  return {
    ...storeOn(db),
    async insert(change) {
      const { agentId } = change.enrolment
      const remember = await changing(db, async (transaction) => {
        await storeOn(transaction).insert(change)
        return leases.begin(transaction, agentId)
      })
      remember()
    },
    replace: (change) => ours(change.enrolment.agentId, (store) => store.replace(change)),
    saveState: (agentId, change) => ours(agentId, (store) => store.saveState(agentId, change)),
    move: (agentId, change, event) => ours(agentId, (store) => store.move(agentId, change, event)),
    saveProgress: (rows) =>
      changing(db, async (transaction) => {
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
