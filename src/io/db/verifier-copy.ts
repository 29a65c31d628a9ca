import type { CopiedRow, CopiedTable } from './copy-tables.ts'

/** All that a verifier stores. What is of this moment alone (leases, news) and what is of one database alone (its mark) stays. */
export const VERIFIER_TABLES: readonly CopiedTable[] = [
  { name: 'policy_bodies', key: ['digest'], page: 500 },
  { name: 'policy_pieces', key: ['digest', 'seq'], page: 8 },
  { name: 'policies', key: ['kind', 'name'], page: 500 },
  { name: 'agents', key: ['agent_id'], page: 500 },
  { name: 'progress', key: ['agent_id'], page: 500 },
  { name: 'policy_uses', key: ['agent_id', 'kind'], page: 500 },
  { name: 'revocations', key: ['id'], page: 500, counts: true },
  { name: 'deliveries', key: ['revocation_id', 'target'], page: 500 },
  { name: 'failed_rounds', key: ['agent_id'], page: 16 },
  { name: 'history', key: ['id'], page: 500, counts: true },
  { name: 'authority_followers', key: ['agent_id'], page: 500 },
  { name: 'mailboxes', key: ['agent_id'], page: 100 },
  { name: 'mailbox_pieces', key: ['pieces', 'seq'], page: 8 },
  { name: 'mailbox_leftovers', key: ['pieces'], page: 500 },
  { name: 'untold_events', key: ['id'], page: 500, counts: true },
]

/**
 * The same for a backup, which has no V: when it is restored, each V in it may have been released since, so that none of them could be used. With V goes the mailbox that only it opens
 * (`VerifierStore.withholdAll`).
 */
export function tablesOfBackup(tables: readonly CopiedTable[] = VERIFIER_TABLES): CopiedTable[] {
  const withheld = new Set<unknown>()
  const carried: Readonly<Record<string, CopiedTable['carried']>> = {
    agents(row) {
      const isUnconfirmed = row['v'] !== null || UNCONFIRMED.has(row['v_state'])
      if (isUnconfirmed) withheld.add(row['agent_id'])
      return isUnconfirmed ? { ...row, v: null, v_state: 'withheld' } : row
    },
    mailboxes: (row) => (withheld.has(row['agent_id']) ? null : withoutContent(row)),
    mailbox_pieces: () => null,
    mailbox_leftovers: () => null,
  }
  return tables.map((table) => ({ ...table, ...(carried[table.name] ? { carried: carried[table.name]! } : {}) }))
}

const UNCONFIRMED: ReadonlySet<unknown> = new Set(['held', 'releasing'])
const withoutContent = (row: CopiedRow): CopiedRow => ({ ...row, content: null, pieces: null, size: 0 })
