import { type Kysely, sql } from 'kysely'
import { OPERATIONAL_STATE } from '../../core/attestation/operational-state.ts'
import type { AgentProgress, Enrolment, StoredDelivery, StoredRecord, StoredState } from '../../core/attestation/stored-agent.ts'
import { KeylimeError } from '../../core/errors.ts'
import type { VerifierEvent } from '../../core/events/verifier-event.ts'
import type { FailedRound } from '../../core/explanation/failed-round.ts'
import { isOwnPolicyName, ownPolicyName } from '../../core/policy/policy-name.ts'
import {
  agentRow,
  alreadyThere,
  concernedBy,
  type EnrolmentChange,
  isPlain,
  policyMissing,
  type UsedPolicies,
  usesOf,
} from './enrolment-change.ts'
import { failedRoundStore } from './failed-round-store.ts'
import type { GroupedChanges, Together } from './grouped-changes.ts'
import { DEFAULT_HISTORY, type HistoryStore, historyStore } from './history-store.ts'
import { insertTogether } from './insert-together.ts'
import { changesOf, DEFAULT_MAILBOXES, dropMailbox, putMailbox, saveDelivery } from './mailbox-store.ts'
import { digestOf, type NamedPolicy, POLICY_MEMBER, putPolicy } from './policy-store.ts'
import { insertRevocation } from './revocation-store.ts'
import type { NewRevocation, StoredRevocation } from './revocation-tables.ts'
import { changing, seamOf } from './seam.ts'
import { encodeProgress, encodeState, readRecord } from './verifier-rows.ts'
import { insertAgent, putProgress, putUse, type Tables, updateState, upsertProgress } from './verifier-statements.ts'

/** A change of state, and what is stored in the same commit. */
export interface StateChange {
  state: StoredState
  progress: AgentProgress
  /** What others must be told of it. */
  revocation: NewRevocation | null
  /** Of a failed attestation: replaces that of an earlier one. */
  failedRound: FailedRound | null
  /** What is known of its delivery from now on; missing where nothing changed. */
  delivery?: StoredDelivery | undefined
  /** What the history of the machine says of it. */
  events?: readonly VerifierEvent[]
}

type AgentAddress = Pick<Enrolment, 'ip' | 'port'>

/** The verifier's agents: the truth, of which memory holds a part. Every method is durable when it returns, and each change is one transaction. */
export interface VerifierStore {
  /** In the order of their ids. */
  ids(): Promise<string[]>
  /** Agents behind `after` in the order of their ids; what cannot be read is among them. */
  page(after: string, limit: number): Promise<StoredRecord[]>
  find(agentId: string): Promise<StoredRecord | null>
  /** Those of them that are enrolled. */
  enrolled(agentIds: readonly string[]): Promise<ReadonlySet<string>>
  /** Ids of the agents that name a policy, whether it is there or not. */
  users(kind: NamedPolicy['kind'], name: string): Promise<string[]>
  /**
   * @returns what it uses as of this commit: who changes a policy after it finds the agent among its users. Null where that may be missed, and has to be looked up again.
   * @throws KeylimeError `already_exists`, `conflict` for a policy name that is taken, `policy_not_found` for one that is not there (any more).
   */
  insert(change: EnrolmentChange): Promise<UsedPolicies | null>
  /** Puts an enrolment in the place of another. @throws KeylimeError as `insert`, and `agent_not_found`. */
  replace(change: EnrolmentChange): Promise<void>
  /** Writes a change in one commit: after it nothing of it can be lost. @returns the revocation with its number. */
  saveState(agentId: string, change: StateChange): Promise<StoredRevocation | null>
  /** Another address of an agent, in one commit with what the history says of it. @returns false when it is not enrolled with the address before (any more). */
  move(agentId: string, change: { from: AgentAddress; to: AgentAddress }, event: VerifierEvent): Promise<boolean>
  /** The last attestation of an agent that failed. */
  failedRound(agentId: string): Promise<FailedRound | null>
  /** The group commit of counters. */
  saveProgress(rows: readonly { agentId: string; progress: AgentProgress }[]): Promise<void>
  /** Erases each V that is not confirmed. @returns whose. */
  withholdAll(): Promise<string[]>
  /** Deletes an agent as `delete`, and stores what others must be told of it, in one commit. @returns the notice with its number; the agent itself is not among its targets. */
  revoke(agentId: string, notice: NewRevocation | null, event?: VerifierEvent): Promise<StoredRevocation | null>
  /** Deletes an agent with its own policies; its history stays. @returns whether there was one. */
  delete(agentId: string, event?: VerifierEvent): Promise<boolean>
}

/** For whom nobody else attests a machine. */
export interface UnfencedStore extends VerifierStore {
  /** Plain enrolments (`isPlain`), in few statements. @returns for each what `insert` returns or throws. */
  insertPlain(changes: readonly EnrolmentChange[]): Promise<(UsedPolicies | KeylimeError)[]>
}

const ROWS_A_STATEMENT = 500

/** @param maxEvidence bytes that are kept of the failed attestations of all agents. @param maxMailboxes bytes of all mailboxes together. */
export function verifierStore(
  database: Kysely<unknown>,
  maxEvidence: number,
  history: HistoryStore = historyStore(database, DEFAULT_HISTORY, Date.now),
  maxMailboxes: number = DEFAULT_MAILBOXES.total,
): UnfencedStore {
  const db = database as Kysely<Tables>
  const failedRounds = failedRoundStore(maxEvidence)
  const change = changesOf(db)
  const records = () =>
    db
      .selectFrom('agents')
      .leftJoin('progress', 'progress.agent_id', 'agents.agent_id')
      .leftJoin('mailboxes', 'mailboxes.agent_id', 'agents.agent_id')
      .selectAll('agents')
      .select(['attestation_count', 'last_received', 'last_successful', 'clock', 'ima', 'mailboxes.enrolment as delivery'])
      .select(['generation', 'ordered_at', 'report', sql<number>`case when content is not null then 1 else 0 end`.as('is_kept')])
  return {
    async ids() {
      const rows = await db.selectFrom('agents').select('agent_id').orderBy('agent_id').execute()
      return rows.map((row) => row.agent_id)
    },
    async page(after, limit) {
      const rows = await records().where('agents.agent_id', '>', after).orderBy('agents.agent_id').limit(limit).execute()
      return rows.map(readRecord)
    },
    async find(agentId) {
      const row = await records().where('agents.agent_id', '=', agentId).executeTakeFirst()
      return row ? readRecord(row) : null
    },
    async enrolled(agentIds) {
      const rows = await db.selectFrom('agents').select('agent_id').where('agent_id', 'in', agentIds).execute()
      return new Set(rows.map((row) => row.agent_id))
    },
    async users(kind, name) {
      // Agents that could not be taken up may name a policy that was not there: of them alone the enrolment is looked into.
      const { rows } = await sql<{ agent_id: string }>`select agent_id from policy_uses where kind = ${kind} and name = ${name}
        union select agent_id from agents where operational_state = ${OPERATIONAL_STATE.FAILED} and polled = 1
          and ${seamOf(db).jsonText('enrolment', POLICY_MEMBER[kind])} = ${name} order by agent_id`.execute(db)
      return rows.map((row) => row.agent_id)
    },
    ...enrolments(change, history, maxMailboxes),
    saveState: (agentId, { state, progress, revocation, failedRound, delivery, events = [] }) =>
      change(
        async (transaction) => {
          await updateState(transaction, { agent_id: agentId, ...encodeState(state) })
          await putProgress(transaction, encodeProgress(agentId, progress))
          if (failedRound) await failedRounds.put(transaction as never, agentId, failedRound)
          if (delivery) await saveDelivery(transaction as never, agentId, delivery)
          await history.add(transaction as never, events)
          return revocation ? insertRevocation(transaction as never, revocation) : null
        },
        [agentId],
      ),
    failedRound: (agentId) => failedRounds.find(db as never, agentId),
    saveProgress: (rows) =>
      changing(db, async (transaction) => {
        for (let at = 0; at < rows.length; at += ROWS_A_STATEMENT) {
          const part = rows.slice(at, at + ROWS_A_STATEMENT)
          await upsertProgress(
            transaction,
            part.map((row) => encodeProgress(row.agentId, row.progress)),
          )
        }
      }),
    withholdAll: () => change(withholdAll),
    ...departures(change, history),
  }
}

/** How agents go. */
const departures = (change: GroupedChanges<Tables>, history: HistoryStore): Pick<VerifierStore, 'revoke' | 'delete'> => ({
  revoke: (agentId, notice, event) =>
    change(
      async (transaction) => {
        await deleteAgent(transaction, agentId)
        await history.add(transaction as never, event ? [event] : [])
        return notice ? insertRevocation(transaction as never, notice, { isOrdered: true }) : null
      },
      [agentId],
    ),
  delete: (agentId, event) =>
    change(
      async (transaction) => {
        const existed = await deleteAgent(transaction, agentId)
        if (existed && event) await history.add(transaction as never, [event])
        return existed
      },
      [agentId],
    ),
})

/** How agents come in and change as a whole. */
const enrolments = (
  change: GroupedChanges<Tables>,
  history: HistoryStore,
  maxMailboxes: number,
): Pick<UnfencedStore, 'insert' | 'insertPlain' | 'replace' | 'move'> => {
  const insertion: Together<Tables, EnrolmentChange, UsedPolicies> = {
    async one(transaction, enrolled) {
      const { numAffectedRows } = await insertAgent(transaction, agentRow(enrolled))
      if (numAffectedRows !== 1n) throw alreadyThere(enrolled.enrolment.agentId)
      const used = await putDependents(transaction, { ...enrolled, mailbox: enrolled.mailbox ?? undefined }, maxMailboxes) // a new one has none
      await history.add(transaction as never, enrolled.events ?? [])
      return used
    },
    several: (transaction, enrolled) => insertTogether(transaction, enrolled, history),
  }
  return {
    move: (agentId, { from, to }, event) =>
      change(
        async (transaction) => {
          const row = await transaction.selectFrom('agents').select('enrolment').where('agent_id', '=', agentId).executeTakeFirst()
          const enrolment = row ? (JSON.parse(row.enrolment) as AgentAddress) : null
          if (enrolment?.ip !== from.ip || enrolment.port !== from.port) return false
          const moved = JSON.stringify({ ...enrolment, ip: to.ip, port: to.port })
          await transaction.updateTable('agents').set({ enrolment: moved }).where('agent_id', '=', agentId).execute()
          await history.add(transaction as never, [event])
          return true
        },
        [agentId],
      ),
    insert(enrolled) {
      const { agentId } = enrolled.enrolment
      if (isPlain(enrolled)) return change.together(insertion, enrolled, agentId)
      return change((transaction) => insertion.one(transaction, enrolled), concernedBy(enrolled))
    },
    insertPlain: (enrolled) => change((transaction) => insertTogether(transaction, enrolled, history)),
    replace: (enrolled) =>
      change(async (transaction) => {
        const { agentId } = enrolled.enrolment
        const { agent_id, ...row } = agentRow(enrolled)
        const result = await transaction.updateTable('agents').set(row).where('agent_id', '=', agent_id).executeTakeFirst()
        if (result.numUpdatedRows !== 1n) throw new KeylimeError('agent_not_found', 'agent id not found')
        for (const table of ['policy_uses', 'authority_followers'] as const)
          await transaction.deleteFrom(table).where('agent_id', '=', agentId).execute()
        await putDependents(transaction, enrolled, maxMailboxes)
        await dropOwnPolicies(transaction, agentId)
        await history.add(transaction as never, enrolled.events ?? [])
      }, concernedBy(enrolled)),
  }
}

async function withholdAll(db: Kysely<Tables>): Promise<string[]> {
  const { rows } = await sql<{ agent_id: string }>`update agents set v = null, v_state = 'withheld'
    where v_state in ('held', 'releasing') returning agent_id`.execute(db)
  for (const { agent_id } of rows) await dropMailbox(db as never, agent_id) // what only that V opens
  return rows.map((row) => row.agent_id)
}

/** With its own policies. @returns whether there was one. */
async function deleteAgent(transaction: Kysely<Tables>, agentId: string): Promise<boolean> {
  const { numDeletedRows } = await transaction.deleteFrom('agents').where('agent_id', '=', agentId).executeTakeFirst()
  await dropOwnPolicies(transaction, agentId)
  return numDeletedRows > 0n
}

/** Mailbox, policies that came along, and which ones the agent uses. @returns these. A name that vanished since it was looked up is found here, by the foreign key. */
async function putDependents(
  transaction: Kysely<Tables>,
  { enrolment, progress, policies, mailbox }: EnrolmentChange,
  total: number,
): Promise<UsedPolicies> {
  const { agentId } = enrolment
  if (mailbox) await putMailbox(transaction as never, { agentId, mailbox, total })
  else if (mailbox === null) await dropMailbox(transaction as never, agentId)
  for (const policy of policies) {
    if (!isOwnPolicyName(policy.name) && (await digestOf(transaction, policy.kind, policy.name)) !== null)
      throw new KeylimeError('conflict', `a policy named ${policy.name} already exists`)
    await putPolicy(transaction, policy)
  }
  await putProgress(transaction, encodeProgress(agentId, progress))
  const used = { runtime: null as string | null, mb: null as string | null }
  for (const use of usesOf(enrolment)) {
    const digest = await digestOf(transaction, use.kind, use.name)
    if (digest === null) throw policyMissing(use.name)
    used[use.kind] = digest
    await putUse(transaction, use)
  }
  return used
}

/** Own policies that their agent uses no more, or that have no agent any more. */
async function dropOwnPolicies(transaction: Kysely<Tables>, agentId: string): Promise<void> {
  const name = ownPolicyName(agentId)
  await sql`delete from policies where name = ${name}
    and not exists (select 1 from policy_uses as u where u.kind = policies.kind and u.name = policies.name)`.execute(transaction)
}
