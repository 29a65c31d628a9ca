import { type Kysely, type Selectable, sql } from 'kysely'
import { KeylimeError } from '../../core/errors.ts'
import type { ExpectedTpm, TpmMark } from '../../core/identity/expected-tpm.ts'
import type { RegistrarTables } from './registrar-schema.ts'
import { changing } from './seam.ts'

/** What operators decided about TPMs. One decision a mark: a later one replaces it. */
export interface ExpectedTpms {
  list(): Promise<ExpectedTpm[]>
  /** @throws KeylimeError `conflict` when there are too many. */
  put(expected: ExpectedTpm): Promise<void>
  /** @returns whether there was one. */
  drop(mark: TpmMark): Promise<boolean>
}

/** What one answer still holds. */
export const MAX_EXPECTED = 50_000

export function expectedTpms(db: Kysely<RegistrarTables>, most = MAX_EXPECTED): ExpectedTpms {
  const all = () => db.selectFrom('expected_tpms').selectAll()
  return {
    async list() {
      return (await all().orderBy('added_at').orderBy('digits').execute()).map(expectedOf)
    },
    put: (expected) =>
      changing(db, async (transaction) => {
        const row = rowOf(expected)
        const insert = transaction.insertInto('expected_tpms').values(row)
        await insert.onConflict((c) => c.columns(['kind', 'digits']).doUpdateSet(row)).execute()
        const counted = await transaction.selectFrom('expected_tpms').select(sql<number>`count(*)`.as('all')).executeTakeFirst()
        if (Number(counted?.all) > most)
          throw new KeylimeError('conflict', `the registrar keeps at most ${most} expected TPMs`, {
            hint: '`keylime tenant expect --forget` takes away those that are registered: a TPM that is registered stays so',
          })
      }),
    drop: (mark) =>
      changing(db, async (transaction) => {
        const removal = transaction.deleteFrom('expected_tpms').where('kind', '=', mark.kind).where('digits', '=', mark.digits)
        return (await removal.executeTakeFirst()).numDeletedRows > 0n
      }),
  }
}

const expectedOf = (row: Selectable<RegistrarTables['expected_tpms']>): ExpectedTpm => ({
  kind: row.kind,
  digits: row.digits,
  verdict: row.verdict,
  agentId: row.agent_id,
  note: row.note,
  addedAt: Number(row.added_at),
  addedBy: row.added_by,
})

const rowOf = ({ kind, digits, verdict, agentId, note, addedAt, addedBy }: ExpectedTpm) => ({
  ...{ kind, digits, verdict, note },
  agent_id: agentId,
  added_at: addedAt,
  added_by: addedBy,
})
