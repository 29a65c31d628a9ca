import { type Kysely, sql } from 'kysely'
import { KeylimeError } from '../../core/errors.ts'
import { askedTogether } from './asked-together.ts'
import { builtOnceForRows } from './built-once.ts'
import type { Migration } from './migrate.ts'
import { type PolicyBody, type PolicyBodyTables, policyBodies } from './policy-bodies.ts'
import { changing, seamOf } from './seam.ts'

export type PolicyKind = 'runtime' | 'mb'

/** A name and the body that it stands for. */
export interface NamedPolicy {
  kind: PolicyKind
  name: string
  digest: string
}

export interface PolicyTables extends PolicyBodyTables {
  policies: NamedPolicy
  policy_uses: { agent_id: string; kind: PolicyKind; name: string }
}

export const POLICY_TABLES: Migration = async (db) => {
  await sql`create table policy_bodies(digest text primary key, body text not null)`.execute(db)
  await sql`create table policies(kind text not null, name text not null, digest text not null references policy_bodies(digest), primary key(kind, name)) without rowid`.execute(
    db,
  )
}

/** Policies by kind and name. Which agents use one is in `policy_uses`, so that none in use can vanish. Every method is durable when it returns. */
export interface PolicyStore {
  digestOf(kind: PolicyKind, name: string): Promise<string | null>
  /** The text; null when there is no such policy. */
  body(digest: string): Promise<Buffer | null>
  /** Of all that have a name. */
  digests(kind: PolicyKind): Promise<Set<string>>
  /** In the order of their names, those of single agents left out unless `own`. */
  list(kind: PolicyKind, own?: boolean): Promise<string[]>
  /** @returns the digest that the name had before. @throws KeylimeError `already_exists` or `policy_not_found` when `must` is not met. */
  put(kind: PolicyKind, name: string, given: { body: PolicyBody; must: 'create' | 'replace' }): Promise<string | null>
  /** @returns the digest that it had; null when there was none. @throws KeylimeError `conflict` naming an agent that uses it. */
  delete(kind: PolicyKind, name: string): Promise<string | null>
  /** Runs `work` with the bodies stored, and protected until it has ended. */
  withBodies<T>(bodies: readonly PolicyBody[], work: () => Promise<T>): Promise<T>
  /** Deletes what an earlier run left behind without a name. */
  sweep(): Promise<void>
}

/** Whoever changed a policy is answered by then, and its machines are judged by it. */
const SWEEP_AFTER_MS = 1000

const WHAT: Record<PolicyKind, string> = { runtime: 'runtime policy', mb: 'measured boot policy' }

export function policyStore(database: Kysely<unknown>): PolicyStore {
  const db = database as Kysely<PolicyTables>
  const bodies = policyBodies(database as Kysely<PolicyBodyTables>)
  let isSwept = false

  async function withBodies<T>(given: readonly PolicyBody[], work: () => Promise<T>): Promise<T> {
    if (given.length === 0) return work()
    return seamOf(database).staging(database, async () => {
      try {
        for (const body of given) await bodies.stage(body)
        return await work()
      } finally {
        for (const { digest } of given) bodies.release(digest)
      }
    })
  }

  /** Nobody waits for it: what is left is swept after the next change, and at the next start. */
  function sweepSoon(): void {
    if (isSwept) return
    isSwept = true
    setTimeout(() => {
      isSwept = false
      bodies.sweep().catch(() => undefined)
    }, SWEEP_AFTER_MS).unref()
  }

  return {
    digestOf: seamOf(db).name === 'sqlite' ? (kind, name) => digestOf(db, kind, name) : digestsAsked(db),
    body: (digest) => bodies.read(digest),
    async digests(kind) {
      const rows = await db.selectFrom('policies').select('digest').distinct().where('kind', '=', kind).execute()
      return new Set(rows.map((row) => row.digest))
    },
    async list(kind, own = false) {
      const rows = await db.selectFrom('policies').select('name').where('kind', '=', kind).orderBy('name').execute()
      return rows.map((row) => row.name).filter((name) => own || !name.includes(':'))
    },
    async put(kind, name, { body, must }) {
      const before = await withBodies([body], () =>
        changing(db, async (transaction) => {
          const old = await digestOf(transaction, kind, name)
          if (must === 'create' && old !== null) throw new KeylimeError('already_exists', `there is a ${WHAT[kind]} named ${name} already`)
          if (must === 'replace' && old === null) throw new KeylimeError('policy_not_found', `there is no ${WHAT[kind]} named ${name}`)
          await putPolicy(transaction, { kind, name, digest: body.digest })
          return old
        }),
      )
      sweepSoon()
      return before
    },
    async delete(kind, name) {
      const before = await changing(db, async (transaction) => {
        const user = await transaction
          .selectFrom('policy_uses')
          .select('agent_id')
          .where('kind', '=', kind)
          .where('name', '=', name)
          .executeTakeFirst()
        if (user) throw new KeylimeError('conflict', `${WHAT[kind]} ${name} is used by agent ${user.agent_id}`)
        const old = await digestOf(transaction, kind, name)
        await transaction.deleteFrom('policies').where('kind', '=', kind).where('name', '=', name).execute()
        return old
      })
      sweepSoon()
      return before
    },
    withBodies,
    sweep: () => bodies.sweep(),
  }
}

/** Also part of a transaction. @returns null when there is no such policy. */
export async function digestOf(db: Kysely<PolicyTables>, kind: PolicyKind, name: string): Promise<string | null> {
  const { rows } = await digestsOf(db, { kind, name })
  return rows[0]?.digest ?? null
}

const digestsOf = builtOnceForRows<PolicyTables, { kind: PolicyKind; name: string }, { digest: string }>((db, { kind, name }) =>
  db.selectFrom('policies').select('digest').where('kind', '=', kind).where('name', '=', name).compile(),
)

/** For a server, where each question is a way: thousands of machines are enrolled with the same policy. */
function digestsAsked(db: Kysely<PolicyTables>): PolicyStore['digestOf'] {
  const ask = askedTogether<Omit<NamedPolicy, 'digest'>, string | null>(async (asked) => {
    const names = [...new Map(asked.map((each) => [keyOf(each), each])).values()]
    const { rows } = await sql<NamedPolicy>`with names(kind, name) as (${seamOf(db).rows(names, { kind: 'text', name: 'text' })})
      select p.kind, p.name, p.digest from names join policies as p on p.kind = names.kind and p.name = names.name`.execute(db)
    const digests = new Map(rows.map((row) => [keyOf(row), row.digest]))
    return asked.map((each) => digests.get(keyOf(each)) ?? null)
  })
  return (kind, name) => ask({ kind, name })
}

const keyOf = ({ kind, name }: Omit<NamedPolicy, 'digest'>) => `${kind} ${name}`

/** Part of a transaction: gives a stored body a name, in the place of another body. Agents that named it while it was missing use it from now on. */
export async function putPolicy(transaction: Kysely<PolicyTables>, policy: NamedPolicy): Promise<void> {
  await transaction
    .insertInto('policies')
    .values(policy)
    .onConflict((c) => c.columns(['kind', 'name']).doUpdateSet({ digest: policy.digest }))
    .execute()
  const { kind, name } = policy
  await sql`insert into policy_uses select agent_id, ${kind}, ${name} from agents
    where ${seamOf(transaction).jsonText('enrolment', POLICY_MEMBER[kind])} = ${name} on conflict do nothing`.execute(transaction)
}

/** Where an enrolment, which is JSON in the database, names its policy. */
export const POLICY_MEMBER: Record<PolicyKind, string> = { runtime: '$.runtimePolicy', mb: '$.mbPolicy' }
