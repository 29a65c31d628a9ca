import { type Kysely, sql } from 'kysely'
import { builtOnceForRows } from './built-once.ts'
import type { FailedRoundTables } from './failed-round-store.ts'
import type { FollowerTables } from './follower-store.ts'
import type { HistoryTables } from './history-store.ts'
import type { MailboxTables } from './mailbox-store.ts'
import type { PolicyTables } from './policy-store.ts'
import type { RevocationTables } from './revocation-tables.ts'
import { seamOf } from './seam.ts'
import type { ProgressRow, StateRow } from './verifier-rows.ts'

export interface AgentTable extends StateRow {
  agent_id: string
  verifier_id: string
  /** JSON: what the tenant enrolled. */
  enrolment: string
}

/** All that the store of the agents reads and writes. */
export interface Tables extends RevocationTables, FailedRoundTables, PolicyTables, HistoryTables, FollowerTables, MailboxTables {
  agents: AgentTable
  progress: ProgressRow
}

/** Nothing is inserted where there is one. */
export const insertAgent = builtOnceForRows<Tables, AgentTable>((db, row) =>
  db
    .insertInto('agents')
    .values(row)
    .onConflict((c) => c.doNothing())
    .compile(),
)

export const updateState = builtOnceForRows<Tables, StateRow & { agent_id: string }>((db, { agent_id, ...state }) =>
  db.updateTable('agents').set(state).where('agent_id', '=', agent_id).compile(),
)

export const putUse = builtOnceForRows<Tables, PolicyTables['policy_uses']>((db, { agent_id, kind, name }) =>
  db
    .insertInto('policy_uses')
    .values({ agent_id, kind, name })
    .onConflict((c) => c.columns(['agent_id', 'kind']).doUpdateSet({ name }))
    .compile(),
)

/** Counters of one machine. */
export const putProgress = builtOnceForRows<Tables, ProgressRow>((db, row) =>
  sql`insert into progress (${COLUMNS}) values (${sql.join(PROGRESS_NAMES.map((name) => row[name]))}) ${OVER_OLD}`.compile(db),
)

/** Of many. */
export async function upsertProgress(db: Kysely<Tables>, rows: ProgressRow[]): Promise<void> {
  await sql`insert into progress (${COLUMNS}) ${seamOf(db).rows(rows, PROGRESS)}
    ${OVER_OLD}`.execute(db)
}

/** Columns of `agents`. */
export const AGENT = {
  agent_id: 'text',
  verifier_id: 'text',
  enrolment: 'text',
  operational_state: 'integer',
  polled: 'integer',
  announced_severity: 'integer',
  failures: 'text',
  v: 'text',
  v_state: 'text',
  v_released_to: 'text',
  transport_key: 'text',
  supported_version: 'text',
  algorithms: 'text',
} as const satisfies Record<keyof AgentTable, 'text' | 'integer'>

const PROGRESS = {
  agent_id: 'text',
  attestation_count: 'integer',
  last_received: 'integer',
  last_successful: 'integer',
  clock: 'text',
  ima: 'text',
} as const

const PROGRESS_NAMES = Object.keys(PROGRESS) as (keyof typeof PROGRESS)[]
const COLUMNS = sql.join(PROGRESS_NAMES.map((name) => sql.ref(name)))
const OVER_OLD = sql`on conflict (agent_id) do update set attestation_count = excluded.attestation_count, last_received = excluded.last_received,
  last_successful = excluded.last_successful, clock = excluded.clock, ima = excluded.ima`
