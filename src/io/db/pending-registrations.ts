import type { Kysely, Selectable } from 'kysely'
import { KeylimeError } from '../../core/errors.ts'
import type { AgentRecord } from '../../core/identity/agent-record.ts'
import type { TpmOfRecord } from '../../core/identity/tpm-of-record.ts'
import { builtOnce } from './built-once.ts'
import { ReadBefore } from './read-before.ts'
import { decodeRecord, encodeRecord, type RegistrarTables } from './registrar-schema.ts'
import { seamOf } from './seam.ts'

/** A registration that waits for the proof of its TPM. */
export interface PendingRegistration {
  record: AgentRecord
  /** The TPM of the record, where it was read before. */
  tpm?: TpmOfRecord
  /** SHA-256 of the only right answer. */
  answer: Buffer
  /** Who asked: see `peerNetwork`. */
  network: string
  /** Milliseconds since the epoch. */
  expiresAt: number
}

/** Bytes that may wait: of one network, and in all. */
export interface PendingLimits {
  ofNetwork: number
  ofAll: number
}

/** Some 2,000 registrations of one network, at least 300 of the largest, and eight such networks. */
export const PENDING_LIMITS: PendingLimits = { ofNetwork: 8 << 20, ofAll: 64 << 20 }
/** With both keys, four certificates and a statement a registration has some 10 KiB. */
const MAX_PENDING_BYTES = 24 << 10
/** Between two looks for what has expired: one for each registration takes longer than to store it. */
const SWEEP_MS = 1000
/** Of a row, beside its record. */
const ROW_BYTES = 256

type Row = Selectable<RegistrarTables['pending_registrations']>

/**
 * Registrations that wait. Each stands for itself, whatever else waits for the same id, EK or AK: who asks later replaces nothing, and a wrong answer
 * drops nothing. What one network may keep waiting is bounded in bytes, its oldest go first; and when all of it is too much, the oldest of the network that has most.
 */
export class PendingRegistrations {
  readonly #db: Kysely<RegistrarTables>
  readonly #limits: PendingLimits
  /** Bytes that wait, by network; read once, because adding them up costs more than all else, and again where others may have dropped some before anything is. */
  #held: Map<string, number> | null = null
  readonly #readBefore = new ReadBefore()
  /** When those that had expired were dropped last. */
  #swept = Number.NEGATIVE_INFINITY

  constructor(db: Kysely<RegistrarTables>, limits: PendingLimits) {
    this.#db = db
    this.#limits = limits
  }

  /** The one that this answer proves. */
  async find(agentId: string, answer: Buffer): Promise<PendingRegistration | null> {
    const [row] = (await ofAnswer(this.#db, agentId, answer)).rows
    return row ? { ...pendingOf(row), ...(this.#readBefore.take(answer, row.record) ?? { record: decodeRecord(row.record) }) } : null
  }

  /** Whether anything waits for the id at this time. */
  async has(agentId: string, now: number): Promise<boolean> {
    const query = this.#db
      .selectFrom('pending_registrations')
      .select('agent_id')
      .where('agent_id', '=', agentId)
      .where('expires_at', '>', now)
    return (await query.limit(1).executeTakeFirst()) !== undefined
  }

  /** @param db the transaction that it is part of. @throws KeylimeError `payload_too_large` */
  async put(db: Kysely<RegistrarTables>, { record, tpm, answer, network, expiresAt }: PendingRegistration, now: number): Promise<void> {
    const text = encodeRecord(record)
    const bytes = text.length + ROW_BYTES
    if (bytes > MAX_PENDING_BYTES)
      throw new KeylimeError('payload_too_large', `a registration of ${bytes} bytes is larger than any real one (${MAX_PENDING_BYTES})`)
    await this.#dropExpired(db, now)
    await this.#makeRoom(db, network, bytes)
    await putRow(db, record.agentId, answer, text, bytes, network, expiresAt)
    await this.#count(db, network, bytes)
    if (tpm) this.#readBefore.keep(answer, text, { record, tpm })
  }

  /** Drops all that wait for the id: it belongs to a TPM now, or to nobody. @param db or a transaction. @param answer drops only the one that it proves. */
  async drop(db: Kysely<RegistrarTables>, agentId: string, answer?: Buffer): Promise<void> {
    const { rows } = await (answer ? sizeOfAnswer(db, agentId, answer) : sizesOfId(db, agentId))
    if (rows.length === 0) return
    await (answer ? dropAnswer(db, agentId, answer) : dropId(db, agentId))
    for (const { network, bytes } of rows) await this.#count(db, network, -bytes)
  }

  /** To be called when a change was taken back that `put` or `drop` was part of: what waits is added up anew. */
  recount(): void {
    this.#held = null
  }

  /** What has expired counts for nobody, and takes room for no longer than this. */
  async #dropExpired(db: Kysely<RegistrarTables>, now: number): Promise<void> {
    if (Math.abs(now - this.#swept) < SWEEP_MS) return
    this.#swept = now
    const { rows } = await dropUntil(db, now)
    for (const { network, bytes } of rows) await this.#count(db, network, -bytes)
  }

  async #makeRoom(db: Kysely<RegistrarTables>, network: string, bytes: number): Promise<void> {
    const { ofNetwork, ofAll } = this.#limits
    const sumOf = (of: ReadonlyMap<string, number>) => [...of.values()].reduce((sum, one) => sum + one, 0)
    const isFull = (of: ReadonlyMap<string, number>) => (of.get(network) ?? 0) + bytes > ofNetwork || sumOf(of) + bytes > ofAll
    if (isFull(await this.#heldBytes(db)) && seamOf(db).name !== 'sqlite') this.#held = null // other registrars drop some, too
    const held = await this.#heldBytes(db)
    const total = () => sumOf(held)
    while ((held.get(network) ?? 0) + bytes > ofNetwork && (await this.#dropOldest(db, network)));
    while (total() + bytes > ofAll) {
      const [most] = [...held].sort(([, a], [, b]) => b - a)
      if (!most || !(await this.#dropOldest(db, most[0]))) return
    }
  }

  /** False when nothing of it was there. */
  async #dropOldest(db: Kysely<RegistrarTables>, network: string): Promise<boolean> {
    const oldest = db.selectFrom('pending_registrations').select('seq').where('network', '=', network).orderBy('seq').limit(1)
    const [dropped] = await db.deleteFrom('pending_registrations').where('seq', '=', oldest).returning('bytes').execute()
    if (dropped) await this.#count(db, network, -dropped.bytes)
    else this.#held?.delete(network)
    return dropped !== undefined
  }

  async #heldBytes(db: Kysely<RegistrarTables>): Promise<Map<string, number>> {
    if (this.#held) return this.#held
    const query = db.selectFrom('pending_registrations').select(({ fn }) => ['network', fn.sum<number>('bytes').as('bytes')])
    const rows = await query.groupBy('network').execute()
    this.#held ??= new Map(rows.map(({ network, bytes }) => [network, Number(bytes)]))
    return this.#held
  }

  async #count(db: Kysely<RegistrarTables>, network: string, change: number): Promise<void> {
    const held = await this.#heldBytes(db)
    const bytes = (held.get(network) ?? 0) + change
    if (bytes > 0) held.set(network, bytes)
    else held.delete(network)
  }
}

type Tables = Kysely<RegistrarTables>

const ofAnswer = builtOnce((db: Tables, agentId: string, answer: Buffer) =>
  db.selectFrom('pending_registrations').selectAll().where('agent_id', '=', agentId).where('answer', '=', answer),
)

const putRow = builtOnce(
  (db: Tables, ...[agent_id, answer, record, bytes, network, expires_at]: [string, Buffer, string, number, string, number]) =>
    db.insertInto('pending_registrations').values({ agent_id, answer, record, bytes, network, expires_at }),
)

/** Asked before they are dropped: what is dropped and returned goes through a table in memory, which SQLite makes for it and which takes ten times as long. */
const sizesOfId = builtOnce((db: Tables, agentId: string) =>
  db.selectFrom('pending_registrations').select(['network', 'bytes']).where('agent_id', '=', agentId),
)

const sizeOfAnswer = builtOnce((db: Tables, agentId: string, answer: Buffer) =>
  db.selectFrom('pending_registrations').select(['network', 'bytes']).where('agent_id', '=', agentId).where('answer', '=', answer),
)

const dropId = builtOnce((db: Tables, agentId: string) => db.deleteFrom('pending_registrations').where('agent_id', '=', agentId))

const dropAnswer = builtOnce((db: Tables, agentId: string, answer: Buffer) =>
  db.deleteFrom('pending_registrations').where('agent_id', '=', agentId).where('answer', '=', answer),
)

const dropUntil = builtOnce((db: Tables, now: number) =>
  db.deleteFrom('pending_registrations').where('expires_at', '<=', now).returning(['network', 'bytes']),
)

const pendingOf = ({ answer, network, expires_at: expiresAt }: Row): Omit<PendingRegistration, 'record'> => ({
  answer: Buffer.from(answer),
  network,
  expiresAt,
})
