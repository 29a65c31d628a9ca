import { randomUUID } from 'node:crypto'
import { type Kysely, sql } from 'kysely'
import { KeylimeError } from '../../core/errors.ts'
import { askedTogether } from './asked-together.ts'
import { changing } from './seam.ts'

/**
 * Which verifier attests which machine, where several share a database. Each machine is leased to one run of one verifier, with a token that no other lease ever had: what is stored of a
 * machine is stored only under its present token (fencing). A verifier lives as long as it says so, by the server's clock; of one that does not, others may take the machines.
 */
export interface LeaseStore {
  /** Of this verifier, for people. */
  readonly name: string
  /** Says that this verifier lives. @param pulls how many of its machines it asks itself, and so could let go. */
  beat(pulls?: number): Promise<Living>
  /** Takes machines that nobody has who lives. @returns their ids, at most `limit`. */
  claim(limit: number): Promise<string[]>
  /** Takes one machine from whoever has it. @returns whether it was that of another who lives (`taken`), or nobody's; null when it is not enrolled. */
  take(agentId: string): Promise<'ours' | 'taken' | 'free' | null>
  /** Asks the server. */
  isOurs(agentId: string): Promise<boolean>
  /** Lets machines go, for others to take. */
  give(agentIds: readonly string[]): Promise<void>
  /** Brings what this process knows up to what is stored. @returns machines that it has and did not know of, as the answer to a claim was lost. */
  reconcile(): Promise<string[]>
  /** Who attests machines: one look for all of them, and none where all are this verifier's. @returns the name by the id; null where nobody has it who lives. */
  holders(agentIds: readonly string[]): Promise<(agentId: string) => string | null>
  /** As far as this process knows. */
  has(agentId: string): boolean
  readonly size: number
  /** Of all verifiers together. */
  enrolled(): Promise<number>
  /** Machines that this verifier can get: nobody has them who lives, or who does has more than its share and could let them go. @param share of each. */
  movable(share: number): Promise<number>
  /** Part of a transaction. @throws KeylimeError `conflict` when another verifier attests the machine by now. */
  check(transaction: Kysely<unknown>, agentId: string): Promise<void>
  /** Part of a transaction: those of the machines that are this verifier's still. */
  held(transaction: Kysely<unknown>, agentIds: readonly string[]): Promise<ReadonlySet<string>>
  /** Part of the transaction that enrols machines. @returns what makes the lease of one known here, once that has been stored. */
  begin(transaction: Kysely<unknown>, agentIds: readonly string[]): Promise<(agentId: string) => void>
  /** Part of a transaction: takes machines from whoever has them. They are known here after `reconcile`. */
  seize(transaction: Kysely<unknown>, agentIds: readonly string[]): Promise<void>
  /** This verifier ends: others need not wait until it is missed. */
  end(): Promise<void>
}

/** The verifiers that live. */
export interface Living {
  /** This one among them. */
  readonly count: number
  /** Milliseconds until the first of the others is missed, if it says nothing more; infinite without others. */
  readonly firstEndMs: number
  readonly others: readonly Other[]
  /** Those that lived at the last sign of life, and say nothing any more; not those that ended. */
  readonly missed: readonly (Other & { readonly silentMs: number })[]
}

/** A run of another verifier, with the name of that. */
export interface Other {
  readonly run: string
  readonly name: string
}

/** Milliseconds after which a verifier that says nothing has none any more. */
export const LEASE_MS = 6000

/** On a server only: SQLite's file is one verifier's. They are of this moment, and no part of what is enrolled. */
export const LEASE_TABLES = [
  sql`create table if not exists verifiers(run text primary key, name text not null, seen_at timestamptz not null)`,
  // Without it: a verifier of an earlier version, which could let none go as far as others know.
  sql`alter table verifiers add column if not exists pulls integer not null default 0`,
  sql`create table if not exists leases(agent_id text primary key references agents(agent_id) on delete cascade,
    run text not null, token integer not null)`,
  sql`create index if not exists leases_by_run on leases(run)`,
  sql`create sequence if not exists lease_tokens`,
] as const

const FORGOTTEN = "interval '1 day'"
/** Runs of verifiers that live. */
export const LIVING = sql`select run from verifiers where seen_at > clock_timestamp() - ${sql.lit(LEASE_MS)} * interval '1 millisecond'`

/** @param name of this verifier, for people. */
export function leaseStore(db: Kysely<unknown>, name: string): LeaseStore {
  const run = randomUUID()
  const tokens = new Map<string, number>()
  /** Other runs that lived at the last sign of life. */
  let heard: string[] = []

  async function mine(on: Kysely<unknown>): Promise<Map<string, number>> {
    const { rows } = await sql<Lease>`select agent_id, token from leases where run = ${run}`.execute(on)
    return new Map(rows.map(({ agent_id, token }) => [agent_id, token]))
  }

  async function isOurs(agentId: string, on: Kysely<unknown> = db): Promise<boolean> {
    const token = tokens.get(agentId)
    if (token === undefined) return false
    const { rows } = await sql`select 1 from leases where agent_id = ${agentId} and run = ${run} and token = ${token}`.execute(on)
    return rows.length > 0
  }

  const isEnrolled = askedTogether<string, boolean>(async (agentIds) => {
    const { rows } = await sql<{ agent_id: string }>`select agent_id from agents where agent_id = any(${agentIds}::text[])`.execute(db)
    const enrolled = new Set(rows.map(({ agent_id }) => agent_id))
    return agentIds.map((agentId) => enrolled.has(agentId))
  })

  /** Whether as many are stored as are known here, with the same tokens: that is asked often, and all of them seldom. */
  async function isAsKnown(): Promise<boolean> {
    const { rows } = await sql<{
      n: number
      sum: string | null
    }>`select count(*) as n, sum(token) as sum from leases where run = ${run}`.execute(db)
    return rows[0]!.n === tokens.size && Number(rows[0]!.sum ?? 0) === [...tokens.values()].reduce((sum, token) => sum + token, 0)
  }

  return {
    name,
    async beat(pulls = 0) {
      await sql`insert into verifiers(run, name, seen_at, pulls) values(${run}, ${name}, clock_timestamp(), ${pulls})
        on conflict (run) do update set seen_at = excluded.seen_at, pulls = excluded.pulls`.execute(db)
      const { rows } = await sql<Other & { silentMs: number }>`select run, name,
        extract(epoch from clock_timestamp() - seen_at)::float * 1000 as "silentMs"
        from verifiers where run <> ${run} and (run in (${LIVING}) or run = any(${heard}::text[]))`.execute(db)
      const others = rows.filter(({ silentMs }) => silentMs < LEASE_MS)
      heard = others.map((other) => other.run)
      const firstEndMs = Math.min(...others.map(({ silentMs }) => LEASE_MS - silentMs)) // of none: infinite
      return { count: 1 + others.length, firstEndMs, others, missed: rows.filter((row) => !others.includes(row)) }
    },
    async claim(limit) {
      const claimed = await changing(db, async (transaction) => {
        await sql`delete from verifiers where seen_at < clock_timestamp() - ${sql.raw(FORGOTTEN)}`.execute(transaction)
        const { rows } = await sql<Lease>`insert into leases(agent_id, run, token)
          select agent_id, ${run}, nextval('lease_tokens') from agents
            where agent_id not in (select agent_id from leases where run in (${LIVING})) order by agent_id limit ${limit}
          on conflict (agent_id) do update set run = excluded.run, token = excluded.token returning agent_id, token`.execute(transaction)
        return rows
      })
      for (const { agent_id, token } of claimed) tokens.set(agent_id, token)
      return claimed.map(({ agent_id }) => agent_id)
    },
    isOurs,
    async take(agentId) {
      if (await isOurs(agentId)) return 'ours'
      if (!(await isEnrolled(agentId))) {
        tokens.delete(agentId)
        return null // as before each enrolment: that is no change, and waits for none
      }
      const [taken] = await changing(db, async (transaction) => {
        const { rows } = await sql<Lease & { lives: boolean }>`with before as (select run from leases where agent_id = ${agentId})
          insert into leases(agent_id, run, token)
          select agent_id, ${run}, nextval('lease_tokens') from agents where agent_id = ${agentId}
          on conflict (agent_id) do update set run = excluded.run, token = excluded.token
          returning agent_id, token, exists(select 1 from before where run in (${LIVING})) as lives`.execute(transaction)
        return rows
      })
      if (taken) tokens.set(agentId, taken.token)
      else tokens.delete(agentId)
      return taken ? (taken.lives ? 'taken' : 'free') : null
    },
    async give(agentIds) {
      if (agentIds.length === 0) return
      const given = agentIds.flatMap((agentId) => tokens.get(agentId) ?? [])
      await changing(db, async (transaction) => {
        await sql`delete from leases where run = ${run} and token = any(${given}::bigint[])`.execute(transaction)
      })
      for (const agentId of agentIds) tokens.delete(agentId)
    },
    async reconcile() {
      if (await isAsKnown()) return []
      const before = new Map(tokens)
      const stored = await mine(db)
      const found: string[] = []
      for (const agentId of new Set([...before.keys(), ...stored.keys()])) {
        const token = stored.get(agentId)
        if (token === before.get(agentId) || tokens.get(agentId) !== before.get(agentId)) continue // what came here or went while it was looked is newer
        if (token === undefined) tokens.delete(agentId)
        else {
          tokens.set(agentId, token)
          found.push(agentId)
        }
      }
      return found
    },
    async holders(agentIds) {
      const others = agentIds.filter((agentId) => !tokens.has(agentId))
      const names = new Map(others.length > 0 ? await namesOf(db, others) : [])
      return (agentId) => names.get(agentId) ?? (tokens.has(agentId) ? name : null)
    },
    has: (agentId) => tokens.has(agentId),
    get size() {
      return tokens.size
    },
    async enrolled() {
      const { rows } = await sql<{ n: number }>`select count(*) as n from agents`.execute(db)
      return rows[0]!.n
    },
    async movable(share) {
      const { rows } = await sql<{
        n: number
      }>`with living as (select v.run, v.pulls, (select count(*) from leases as l where l.run = v.run) as held
          from verifiers as v where v.run in (${LIVING}))
        select (select count(*) from agents) - coalesce(sum(held), 0)
          + coalesce(sum(least(pulls, greatest(0, held - ${share}))) filter (where run <> ${run}), 0) as n from living`.execute(db)
      return Math.max(0, Number(rows[0]!.n))
    },
    async check(transaction, agentId) {
      const token = tokens.get(agentId) ?? null
      const { rows } = await sql`select 1 from leases where agent_id = ${agentId} and run = ${run} and token = ${token}`.execute(
        transaction,
      )
      if (rows.length === 0) throw leaseLost(agentId)
    },
    async held(transaction, agentIds) {
      const known = agentIds.filter((agentId) => tokens.has(agentId))
      const { rows } = await sql<Lease>`select l.agent_id, l.token from leases as l
        join unnest(${known}::text[], ${known.map((agentId) => tokens.get(agentId))}::bigint[]) as k(agent_id, token)
          on l.agent_id = k.agent_id and l.token = k.token where l.run = ${run}`.execute(transaction)
      return new Set(rows.map(({ agent_id }) => agent_id))
    },
    async begin(transaction, agentIds) {
      if (agentIds.length === 0) return () => undefined
      // One that was not enrolled has no lease; "on conflict" would wake all verifiers for nothing, by the trigger.
      const { rows } = await sql<Lease>`${leasing(agentIds, run)} returning agent_id, token`.execute(transaction)
      const begun = new Map(rows.map(({ agent_id, token }) => [agent_id, token]))
      return (agentId) => void tokens.set(agentId, begun.get(agentId)!)
    },
    async seize(transaction, agentIds) {
      if (agentIds.length === 0) return
      await sql`${leasing(agentIds, run)} on conflict (agent_id) do update set run = excluded.run, token = excluded.token`.execute(
        transaction,
      )
    },
    async end() {
      tokens.clear()
      await sql`delete from verifiers where run = ${run}`.execute(db)
      await sql`delete from leases where run = ${run}`.execute(db)
    },
  }
}

async function namesOf(db: Kysely<unknown>, agentIds: readonly string[]): Promise<[agentId: string, name: string][]> {
  const { rows } = await sql<{ agent_id: string; name: string }>`select agent_id, name from leases join verifiers using (run)
    where agent_id = any(${agentIds}::text[]) and run in (${LIVING})`.execute(db)
  return rows.map(({ agent_id, name }) => [agent_id, name])
}

const leasing = (agentIds: readonly string[], run: string) =>
  sql`insert into leases(agent_id, run, token) select id, ${run}, nextval('lease_tokens') from unnest(${agentIds}::text[]) as ids(id)`

interface Lease {
  agent_id: string
  token: number
}

const LOST = { lease: 'lost' }

export const leaseLost = (agentId: string): KeylimeError =>
  new KeylimeError('conflict', `agent ${agentId} is attested by another verifier by now`, { hint: 'try again', details: LOST })

/** Another verifier attests the machine: what was to be stored of it here says nothing any more. */
export const isLeaseLost = (error: unknown): boolean => error instanceof KeylimeError && error.details === LOST
