import { type Kysely, sql } from 'kysely'
import type { PolicyKind } from './policy-store.ts'

/** What was changed at one verifier, and concerns machines of others. */
export type News = NewsPlace &
  (
    | { readonly what: 'policy'; readonly kind: PolicyKind; readonly name: string }
    | { readonly what: 'revocation'; readonly revocation: number }
  )

/** With the time, as a server that took over for another gives the last numbers again. */
export interface NewsPlace {
  readonly id: number
  /** Seconds since the epoch. */
  readonly at: string
}

/** In the order in which it was stored. */
export interface NewsStore {
  /** The place of the last; null where there is none. */
  last(): Promise<NewsPlace | null>
  /** Behind a place, the first ones. Where that is not known, because the server lost it or it is too old, all that there are. */
  since(place: NewsPlace | null, limit: number): Promise<News[]>
  /** What is too old to be new to anybody. */
  forget(): Promise<void>
}

/** Verifiers are woken by it; what is new they read. */
export const NEWS_CHANNEL = 'keylime_verifier'

const notify = `perform pg_notify('${NEWS_CHANNEL}', '')`

/** On a server only. Written by triggers, in the transaction of the change: none is missing, whoever makes it. */
export const NEWS_TABLES = [
  sql`create table if not exists news(id integer primary key autoincrement, what text not null, kind text not null,
    name text not null, at timestamptz not null default now())`,
  sql.raw(`create or replace function keylime_policy_news() returns trigger language plpgsql as $$ begin
    insert into news(what, kind, name) values('policy', coalesce(new.kind, old.kind), coalesce(new.name, old.name)); ${notify}; return null; end $$`),
  sql.raw(`create or replace function keylime_revocation_news() returns trigger language plpgsql as $$ begin
    insert into news(what, kind, name) values('revocation', '', new.id); ${notify}; return null; end $$`),
  sql.raw(`create or replace function keylime_deferred_news() returns trigger language plpgsql as $$ begin
    insert into news(what, kind, name) values('revocation', '', old.revocation_id); ${notify}; return null; end $$`),
  sql.raw(`create or replace function keylime_lease_news() returns trigger language plpgsql as $$ begin ${notify}; return null; end $$`),
  sql`drop trigger if exists policy_news on policies; create trigger policy_news after insert or update or delete on policies for each row execute function keylime_policy_news()`,
  sql`drop trigger if exists revocation_news on revocations; create trigger revocation_news after insert on revocations for each row execute function keylime_revocation_news()`,
  sql`drop trigger if exists deferred_news on deliveries; create trigger deferred_news after delete on deliveries for each row
    when (old.target = 'agents' and old.state = 'pending') execute function keylime_deferred_news()`,
  sql`drop trigger if exists lease_news on leases; create trigger lease_news after update or delete on leases for each statement execute function keylime_lease_news()`,
] as const

/** A verifier that was paused for longer has lost its machines, and looks at everything again. */
const KEPT = "interval '1 day'"

export function newsStore(db: Kysely<unknown>): NewsStore {
  return {
    async last() {
      const { rows } = await sql<NewsPlace>`select id, ${AT} as at from news order by id desc limit 1`.execute(db)
      return rows[0] ?? null
    },
    async forget() {
      await sql`delete from news where at < now() - ${sql.raw(KEPT)}`.execute(db)
    },
    async since(place, limit) {
      const known = sql`(select id from news where id = ${place?.id ?? 0} and ${AT} = ${place?.at ?? ''})`
      const { rows } = await sql<Row>`select id, ${AT} as at, what, kind, name from news where id > coalesce(${known}, 0)
        order by id limit ${limit}`.execute(db)
      return rows.map(({ id, at, what, kind, name }) =>
        what === 'policy' ? { id, at, what, kind: kind as PolicyKind, name } : { id, at, what: 'revocation', revocation: Number(name) },
      )
    },
  }
}

const AT = sql`extract(epoch from at)::text`

interface Row extends NewsPlace {
  what: string
  kind: string
  name: string
}
