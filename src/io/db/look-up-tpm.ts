import { type Kysely, sql } from 'kysely'
import type { AgentRecord } from '../../core/identity/agent-record.ts'
import { type Decision, marksOfTpm } from '../../core/identity/expected-tpm.ts'
import type { TpmOfRecord } from '../../core/identity/tpm-of-record.ts'
import { builtOnceForRows } from './built-once.ts'
import { decodeRecord, ekKeyOfTpm, fourFacts, type RegistrarTables } from './registrar-schema.ts'
import type { RevocationMark } from './revocation-marks.ts'

/** All that is known of a TPM and of the id that it asks for, at one moment. */
export interface KnownOfTpm {
  /** Who has the id. */
  readonly record: AgentRecord | null
  /** What keeps a registration out: of the id, or of the TPM by whatever it is known. */
  readonly mark: RevocationMark | null
  /** Other ids under which the TPM is registered: the same EK, or a fact that is known of both. */
  readonly others: readonly string[]
  /** What operators decided about the TPM. */
  readonly ofTpm: readonly Decision[]
  /** Whether they expect a TPM under the id, this one or another. */
  readonly isIdExpected: boolean
}

/** As many as a TPM has. */
const MARKS = 4
/** That no TPM has. */
const NO_MARK = { kind: '', digits: '' }

/** @throws KeylimeError `malformed` for an EK certificate that cannot be read. */
export async function lookUpTpm(db: Kysely<RegistrarTables>, tpm: TpmOfRecord): Promise<KnownOfTpm> {
  const [a, b, c, d] = fourFacts(tpm)
  const marks = marksOfTpm(tpm.ekHashes, tpm.ekCertificate())
  const named = Array.from({ length: MARKS }, (_, i) => marks[i] ?? NO_MARK).map(({ kind, digits }, i) => [
    [`kind${i}`, kind],
    [`digits${i}`, digits],
  ])
  const { rows } = await rowsOfTpm(db, { ...{ id: tpm.agentId, ek: ekKeyOfTpm(tpm), a, b, c, d }, ...Object.fromEntries(named.flat()) })
  const rowsOf = (what: Found['what']) => rows.filter((row) => row.what === what)
  const [record] = rowsOf('record')
  const [mark] = rowsOf('mark')
  return {
    record: record ? decodeRecord(record.value!) : null,
    mark: mark ? { agentId: mark.agent_id!, revokedAt: mark.at! } : null,
    others: inOrder(rowsOf('other')),
    ofTpm: rowsOf('decision').map(({ agent_id: agentId, kind, value: verdict }) => ({ agentId, kind, verdict }) as Decision),
    isIdExpected: rowsOf('expected').length > 0,
  }
}

interface Found {
  readonly what: 'record' | 'mark' | 'other' | 'decision' | 'expected'
  readonly agent_id: string | null
  readonly kind: string | null
  /** A record, or a verdict. */
  readonly value: string | null
  readonly at: number | null
}

interface Asked {
  readonly id: string
  readonly ek: string
  readonly a: string
  readonly b: string
  readonly c: string
  readonly d: string
  readonly [mark: `kind${number}` | `digits${number}`]: string
}

/** That are told of. */
export const MAX_OTHERS = 100

/** Each once: for SQLite to put them in order takes longer than to find them, above all where there are none. */
export const inOrder = (rows: readonly Pick<Found, 'agent_id'>[]): string[] => [...new Set(rows.map(({ agent_id }) => agent_id!))].sort()

/**
 * One after the other, each by an index of its own: one query instead of five takes a quarter of the time, and of a server's answers one. Several values are joined as rows: for a list or for "or",
 * SQLite makes and drops a table in memory each time, which takes longer than all else.
 */
const rowsOfTpm = builtOnceForRows<RegistrarTables, Asked, Found>((db, { id, ek, a, b, c, d, ...marks }) => {
  const facts = sql`(values (${a}), (${b}), (${c}), (${d})) as v`
  const decided = sql.join(Array.from({ length: MARKS }, (_, i) => sql`(${marks[`kind${i}`]}, ${marks[`digits${i}`]})`))
  return sql<Found>`
    select 'record' as what, agent_id, cast(null as text) as kind, record as value, cast(null as bigint) as at
      from registered_agents where agent_id = ${id}
    union all select 'mark', agent_id, null, null, revoked_at from revoked_agents where agent_id = ${id}
    union all select 'mark', agent_id, null, null, revoked_at from (select * from revoked_agents where ek_key = ${ek} limit 1) as of_ek
    union all select 'mark', agent_id, null, null, revoked_at from (
      select r.* from ${facts} join revoked_facts as f on f.fact = v.column1 join revoked_agents as r on r.agent_id = f.agent_id
        limit 1) as of_fact
    union all select 'other', agent_id, null, null, null from (
      select agent_id from registered_agents where ek_key = ${ek} and agent_id <> ${id} limit ${sql.lit(MAX_OTHERS)}) as of_ek
    union all select 'other', agent_id, null, null, null from (
      select r.agent_id from ${facts} join registered_facts as f on f.fact = v.column1 join registered_agents as r on r.agent_id = f.agent_id
        where r.agent_id <> ${id} limit ${sql.lit(MAX_OTHERS)}) as of_fact
    union all select 'decision', agent_id, kind, verdict, null from (values ${decided}) as v
      join expected_tpms on kind = v.column1 and digits = v.column2
    union all select 'expected', agent_id, null, null, null from (
      select agent_id from expected_tpms where agent_id = ${id} and verdict = 'expected' limit 1) as of_id`.compile(db)
})
