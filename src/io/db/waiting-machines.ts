import { type Kysely, type Selectable, sql } from 'kysely'
import { KeylimeError } from '../../core/errors.ts'
import type { AgentRecord } from '../../core/identity/agent-record.ts'
import { builtOnce } from './built-once.ts'
import { decodeRecord, ekKeyOf, encodeRecord, type RegistrarTables } from './registrar-schema.ts'
import { changing } from './seam.ts'

/** A machine whose TPM has proved itself, and that waits for an operator: it is not registered, and its id is free. */
export interface WaitingMachine {
  readonly record: AgentRecord
  /** Who asked: see `peerNetwork`. */
  readonly network: string
  /** Who vouches for the TPM; null for nobody. */
  readonly maker: string | null
  /** Milliseconds since the epoch. */
  readonly since: number
}

/** How many may wait: of one TPM, of one network, and in all. */
export interface WaitingLimits {
  readonly ofTpm: number
  readonly ofNetwork: number
  readonly ofAll: number
}

/** Some ids that were tried; a fleet behind one address, and five of them; a record has at most 24 KiB. */
export const WAITING_LIMITS: WaitingLimits = { ofTpm: 4, ofNetwork: 1000, ofAll: 5000 }

/**
 * Who waits, each TPM of an id for itself: whoever comes later displaces nobody. Their number is bounded. Where there is no room, a TPM for which a maker vouches
 * takes the place of the oldest for which nobody does: anybody can make EKs of software, and they keep no real machine out. One TPM that asks for many ids takes its own
 * places: whoever has a real one keeps no other out either.
 */
export interface WaitingMachines {
  list(): Promise<WaitingMachine[]>
  ofId(agentId: string): Promise<WaitingMachine[]>
  /** The same TPM again keeps its place. @throws KeylimeError `too_many_requests` when there is no room. */
  put(machine: WaitingMachine): Promise<void>
  /** @param ek TPM2B_PUBLIC of one; all of the id without it. @returns whether there was one. */
  drop(agentId: string, ek?: Buffer): Promise<boolean>
}

export function waitingMachines(db: Kysely<RegistrarTables>, limits: WaitingLimits = WAITING_LIMITS): WaitingMachines {
  return {
    async list() {
      const rows = await db.selectFrom('waiting_machines').selectAll().orderBy('since').orderBy('agent_id').execute()
      return rows.map(machineOf)
    },
    async ofId(agentId) {
      const query = db.selectFrom('waiting_machines').selectAll().where('agent_id', '=', agentId)
      return (await query.orderBy('since').orderBy('ek_key').execute()).map(machineOf)
    },
    put: (machine) =>
      changing(db, async (transaction) => {
        const { record, network, maker, since } = machine
        const [agent_id, ek_key] = [record.agentId, ekKeyOf(record.ek)]
        const again = { record: encodeRecord(record), network, maker }
        const known = transaction.updateTable('waiting_machines').set(again).where('agent_id', '=', agent_id).where('ek_key', '=', ek_key)
        if ((await known.executeTakeFirst()).numUpdatedRows > 0n) return
        await dropOlder(transaction, ek_key, limits.ofTpm - 1)
        await makeRoom(transaction, machine, limits)
        await transaction
          .insertInto('waiting_machines')
          .values({ agent_id, ek_key, ...again, since })
          .execute()
      }),
    drop: (agentId, ek) =>
      changing(db, async (transaction) => {
        const dropped = await (ek ? dropOne(transaction, agentId, ekKeyOf(ek)) : dropId(transaction, agentId))
        return (dropped.numAffectedRows ?? 0n) > 0n
      }),
  }
}

const dropId = builtOnce((db: Kysely<RegistrarTables>, agentId: string) =>
  db.deleteFrom('waiting_machines').where('agent_id', '=', agentId),
)
const dropOne = builtOnce((db: Kysely<RegistrarTables>, agentId: string, ekKey: string) =>
  db.deleteFrom('waiting_machines').where('agent_id', '=', agentId).where('ek_key', '=', ekKey),
)

/** @param kept of the ids under which this TPM waits, the newest. */
async function dropOlder(db: Kysely<RegistrarTables>, ekKey: string, kept: number): Promise<void> {
  const ofTpm = db.selectFrom('waiting_machines').select('agent_id').where('ek_key', '=', ekKey)
  const rows = await ofTpm.orderBy('since', 'desc').orderBy('agent_id').execute()
  for (const { agent_id } of rows.slice(kept))
    await db.deleteFrom('waiting_machines').where('agent_id', '=', agent_id).where('ek_key', '=', ekKey).execute()
}

async function makeRoom(db: Kysely<RegistrarTables>, { network, maker }: WaitingMachine, limits: WaitingLimits): Promise<void> {
  const counted = await db
    .selectFrom('waiting_machines')
    .select([sql<number>`count(*)`.as('all'), sql<number>`sum(case when network = ${network} then 1 else 0 end)`.as('of_network')])
    .executeTakeFirst()
  const isNetworkFull = Number(counted?.of_network ?? 0) >= limits.ofNetwork
  if (!isNetworkFull && Number(counted?.all ?? 0) < limits.ofAll) return
  const unvouched = db.selectFrom('waiting_machines').select(['agent_id', 'ek_key']).where('maker', 'is', null)
  const ofThem = isNetworkFull ? unvouched.where('network', '=', network) : unvouched
  const oldest = maker === null ? undefined : await ofThem.orderBy('since').limit(1).executeTakeFirst()
  if (!oldest)
    throw new KeylimeError('too_many_requests', 'too many machines wait for the approval of an operator', {
      hint: '`keylime tenant pending` shows them, and `keylime tenant approve` decides',
    })
  await db.deleteFrom('waiting_machines').where('agent_id', '=', oldest.agent_id).where('ek_key', '=', oldest.ek_key).execute()
}

const machineOf = ({ record, network, maker, since }: Selectable<RegistrarTables['waiting_machines']>): WaitingMachine => ({
  record: decodeRecord(record),
  network,
  maker,
  since: Number(since),
})
