import { type Kysely, type Selectable, sql } from 'kysely'
import { KeylimeError } from '../../core/errors.ts'
import type { ExpectedTpm, TpmMark } from '../../core/identity/expected-tpm.ts'
import { builtOnce } from './built-once.ts'
import type { RegistrarTables } from './registrar-schema.ts'
import { changing } from './seam.ts'

/** What operators decided about TPMs. One decision a mark: a later one replaces it. */
export interface ExpectedTpms {
  list(): Promise<ExpectedTpm[]>
  ofMarks(marks: readonly TpmMark[]): Promise<ExpectedTpm[]>
  ofId(agentId: string): Promise<ExpectedTpm[]>
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
    async ofMarks(marks) {
      const found: ExpectedTpm[] = []
      for (let i = 0; i < marks.length; i += AT_ONCE) {
        const some = Array.from({ length: AT_ONCE }, (_, n) => marks[i + n] ?? marks[i]!)
        found.push(...(await decisionsOfMarks(db, ...some)).map(expectedOf))
      }
      return found
    },
    async ofId(agentId) {
      return (await decisionsOfId(db, agentId)).rows.map(expectedOf)
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

/** Marks of a query: as many as a TPM has. */
const AT_ONCE = 4
const builtOfMarks = builtOnce((db: Kysely<RegistrarTables>, ...values: string[]) =>
  db
    .selectFrom('expected_tpms')
    .selectAll()
    .where((e) =>
      e.or(
        Array.from({ length: AT_ONCE }, (_, n) =>
          e.and([e('kind', '=', values[2 * n] as TpmMark['kind']), e('digits', '=', values[2 * n + 1]!)]),
        ),
      ),
    ),
)
const decisionsOfMarks = async (db: Kysely<RegistrarTables>, ...marks: TpmMark[]) =>
  (await builtOfMarks(db, ...marks.flatMap(({ kind, digits }) => [kind, digits]))).rows
const decisionsOfId = builtOnce((db: Kysely<RegistrarTables>, agentId: string) =>
  db.selectFrom('expected_tpms').selectAll().where('agent_id', '=', agentId),
)

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
