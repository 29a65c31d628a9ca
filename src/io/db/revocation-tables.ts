import { sql } from 'kysely'
import type { Migration } from './migrate.ts'

/** A decision to tell others, as it is stored with the verdict itself. */
export interface NewRevocation {
  agentId: string
  type: 'revocation' | 'comm_error'
  /** The signed text, and its signature in base64: by the key of the enrolment, or the verifier's own where that has none. */
  text: string
  signature: string
  /** By the verifier's own key. */
  verifierSignature: string
  /** Milliseconds since the epoch. */
  createdAt: number
  /** Targets that are no agents: `webhook`, `zeromq`. */
  targets: readonly string[]
  /** Tell every agent that is enrolled when it is stored, as `agent:ID`. */
  toAgents: boolean
}

export interface StoredRevocation extends Omit<NewRevocation, 'toAgents'> {
  id: number
  /** All of them, agents included. */
  targets: readonly string[]
  /** By an operator: it is told before what failed by itself, by every verifier. */
  isOrdered?: boolean
}

export interface RevocationTables {
  revocations: {
    id: number | undefined
    agent_id: string
    type: string
    text: string
    signature: string
    verifier_signature: string
    created_at: number
    /** 1: by an operator. */
    ordered: number
  }
  deliveries: {
    revocation_id: number
    target: string
    state: DeliveryWord
    attempts: number
    at: number
    last_error: string | null
  }
}

/** `told`: it has taken the notice. What an agent of ours did with it comes after that: `acted`, `failed` when an action did, `refused` when it does not believe it. */
export type DeliveryWord = 'pending' | 'told' | 'acted' | 'failed' | 'refused' | 'given_up'

export const REVOCATION_TABLES: Migration = async (db) => {
  await sql`create table revocations(id integer primary key autoincrement, agent_id text not null, type text not null, text text not null,
    signature text not null, created_at integer not null)`.execute(db)
  await sql`create table deliveries(revocation_id integer not null references revocations(id) on delete cascade, target text not null, state text not null,
    attempts integer not null, at integer not null, last_error text, primary key(revocation_id, target)) without rowid`.execute(db)
  await sql`create index deliveries_pending on deliveries(state) where state = 'pending'`.execute(db)
}

/** Notices of verifiers before had one signature. */
export const VERIFIER_SIGNATURES: Migration = async (db) => {
  await sql`alter table revocations add column verifier_signature text not null default ''`.execute(db)
}

/** Other verifiers, and the next start, must know it, too. */
export const ORDERED_REVOCATIONS: Migration = async (db) => {
  await sql`alter table revocations add column ordered integer not null default 0`.execute(db)
}

/** Few are: which of a machine's notices were ordered is found without reading all of either. */
export const ORDERED_INDEX: Migration = async (db) => {
  await sql`create index revocations_ordered on revocations(id) where ordered = 1`.execute(db)
}

type RevocationRow = RevocationTables['revocations']

/** As it is told. */
export const revocationOf = (row: RevocationRow, targets: readonly string[]): StoredRevocation => ({
  id: row.id!,
  agentId: row.agent_id,
  type: row.type as NewRevocation['type'],
  text: row.text,
  signature: row.signature,
  verifierSignature: row.verifier_signature,
  createdAt: row.created_at,
  isOrdered: row.ordered === 1,
  targets,
})
