import type { Kysely } from 'kysely'
import type { AgentRecord } from '../../core/identity/agent-record.ts'
import { ekKeyOf, type RegistrarTables } from './registrar-schema.ts'
import { changing } from './seam.ts'

/** Who may not register until it is forgotten: neither this machine under another id, nor another machine under this one. */
export interface RevocationMark {
  agentId: string
  /** Milliseconds since the epoch. */
  revokedAt: number
}

/** Part of the transaction that ends the registration. An EK that is known stays known. @param record null for an id that is not registered. */
export async function putRevocationMark(db: Kysely<RegistrarTables>, mark: RevocationMark, record: AgentRecord | null): Promise<void> {
  const row = { agent_id: mark.agentId, ek_key: record ? ekKeyOf(record.ek) : null, revoked_at: mark.revokedAt }
  const insert = db.insertInto('revoked_agents').values(row)
  await insert
    .onConflict((c) => c.column('agent_id').doUpdateSet(row.ek_key ? { ek_key: row.ek_key } : { agent_id: row.agent_id }))
    .execute()
  const facts = await db.selectFrom('registered_facts').selectAll().where('agent_id', '=', mark.agentId).execute()
  if (facts.length > 0)
    await db
      .insertInto('revoked_facts')
      .values(facts)
      .onConflict((c) => c.doNothing())
      .execute()
}

export async function listRevocationMarks(db: Kysely<RegistrarTables>): Promise<RevocationMark[]> {
  const rows = await db.selectFrom('revoked_agents').select(['agent_id', 'revoked_at']).orderBy('agent_id').execute()
  return rows.map((row) => ({ agentId: row.agent_id, revokedAt: row.revoked_at }))
}

/** @returns whether there was one. */
export async function dropRevocationMark(db: Kysely<RegistrarTables>, agentId: string): Promise<boolean> {
  return changing(db, async (transaction) => {
    await transaction.deleteFrom('revoked_facts').where('agent_id', '=', agentId).execute()
    const { numDeletedRows } = await transaction.deleteFrom('revoked_agents').where('agent_id', '=', agentId).executeTakeFirst()
    return numDeletedRows > 0n
  })
}
