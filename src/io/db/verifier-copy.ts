import type { CopiedTable } from './copy-tables.ts'

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
]
