import { systemClock } from '../../io/clock.ts'
import { fencedFollowers, fencedStore } from '../../io/db/fenced-store.ts'
import { followerStore } from '../../io/db/follower-store.ts'
import { historyStore } from '../../io/db/history-store.ts'
import { mailboxStore } from '../../io/db/mailbox-store.ts'
import { policyStore } from '../../io/db/policy-store.ts'
import { revocationStore } from '../../io/db/revocation-store.ts'
import type { SharedDatabase, VerifierDatabase } from '../../io/db/verifier-database.ts'
import { verifierStore } from '../../io/db/verifier-store.ts'
import { randomBytes } from '../../io/random.ts'
import type { VerifierContext } from './api/verifier-context.ts'
import { historyLimitsOf, type VerifierValues } from './verifier-settings.ts'

type Stores = Pick<VerifierContext, 'store' | 'history' | 'revocations' | 'policyStore' | 'mailboxes' | 'followers'>

/** All that is stored. @param shared of a database that others use too: what is stored of a machine is stored by the verifier that attests it. */
export function openStores(values: VerifierValues, database: VerifierDatabase, shared: SharedDatabase | null): Stores {
  const history = historyStore(database, historyLimitsOf(values), () => systemClock.now())
  const storeOn = (db: VerifierDatabase) => verifierStore(db, values.evidence_total_size, history, values.mailbox_total_size)
  return {
    store: shared ? fencedStore(database, storeOn, shared.leases) : storeOn(database),
    history,
    revocations: revocationStore(database),
    policyStore: policyStore(database),
    mailboxes: mailboxStore(database, { each: values.mailbox_max_size, total: values.mailbox_total_size }, randomBytes),
    followers: shared ? fencedFollowers(database, shared.leases) : followerStore(database),
  }
}
