import { setImmediate as turn } from 'node:timers/promises'
import type { Enrolment, StoredRecord } from '../../../core/attestation/stored-agent.ts'
import type { KeyedLock } from '../../../core/concurrency/keyed-lock.ts'
import { createSerialQueue } from '../../../core/concurrency/serial-queue.ts'
import { causeChain, isKeylimeError, KeylimeError } from '../../../core/errors.ts'

import type { EventStream } from '../../../core/events/event-stream.ts'
import type { PolicyKind } from '../../../io/db/policy-store.ts'
import type { VerifierStore } from '../../../io/db/verifier-store.ts'
import type { Logger } from '../../../io/log/logger.ts'
import { createGiveWay } from '../../../io/next-turn.ts'
import type { AgentOpener } from '../agents/agent-opener.ts'
import type { AgentTable } from '../agents/agent-table.ts'
import type { ManagedAgent } from '../agents/managed-agent.ts'
import type { BookedPolicy, PolicyBook } from '../policies/policy-book.ts'
import type { StateKeeper } from '../verdicts/state-keeper.ts'
import type { AttestationLoop } from './attestation-loop.ts'

/** Brings stored agents into memory, and keeps their policies there what the store says. */
export interface TakeUp {
  /** At the start: everything that is stored. What cannot be attested becomes a failed agent with the reason. @returns how many can be. */
  all(): Promise<number>
  /** Those of them that are this verifier's from now on. */
  several(agentIds: ReadonlySet<string>): Promise<void>
  /** One of them, where a command for it is under way. */
  one(agentId: string): Promise<void>
  /** One agent, not asked yet. @throws KeylimeError why it cannot be attested. */
  open(record: StoredRecord): Promise<ManagedAgent>
  /** From the next quote on its users are judged by what is stored now; those that could not be taken up for it are. @returns how many use it. */
  policyChanged(kind: PolicyKind, name: string): Promise<number>
  /** The same for a change that was made elsewhere, unless all its users are judged by it already. */
  policyHeard(kind: PolicyKind, name: string, digest: string | null): Promise<void>
}

export interface TakeUpOptions {
  agents: AgentTable
  store: VerifierStore
  policies: PolicyBook
  opener: AgentOpener
  keeper: StateKeeper
  loop: AttestationLoop
  /** Whether this verifier attests an agent, and not another one of the same database. */
  isOurs(agentId: string): boolean
  /** These are judged by another policy from now on. */
  wake(agents: readonly ManagedAgent[]): void
  /** Commands of the operator for one agent: none comes in between while it is taken up. */
  commands: KeyedLock
  events: EventStream
  logger: Logger
  /** Seconds. */
  quoteInterval: number
}

const PAGE = 200
/** Pages of so long are done in one turn of the event loop. */
const SLICE_MS = 10
/** Between the first requests of two agents at the start, at most: no thundering herd. */
const SPREAD_MS = 2
const LATER_MS = 5000

export function createTakeUp(options: TakeUpOptions): TakeUp {
  const { agents, store, policies, opener, keeper, loop, commands, events, logger } = options
  const changes = createSerialQueue()

  async function open(record: StoredRecord): Promise<ManagedAgent> {
    const { agentId } = record
    if ('defect' in record) throw new KeylimeError('conflict', record.defect, { hint: `delete agent ${agentId} and add it again` })
    return opener.open(record.agent, await policies.policyOf(record.agent.enrolment))
  }

  async function take(record: StoredRecord, afterMs: number): Promise<void> {
    try {
      const agent = await open(record)
      agents.add(agent)
      if (agent.state.polled) loop.begin(agent, afterMs)
    } catch (error) {
      if (isKeylimeError(error) && error.code === 'unavailable') return postpone(record.agentId, error.message)
      await refuse(record, causeChain(error).join(': '))
    }
  }

  /** There was no room to read its policy, which says nothing of the machine. */
  function postpone(agentId: string, reason: string): void {
    logger.warn(`agent ${agentId} is taken up later: ${reason}`)
    const again = () =>
      commands
        .take(agentId, () => takeAgain(agentId))
        .catch((error) => logger.error(`agent ${agentId} could not be taken up: ${causeChain(error).join(': ')}`)) // nothing waits for it
    setTimeout(() => void again(), LATER_MS).unref()
  }

  /** It stays as it is when it had failed before: a machine that was revoked is not less revoked because its policy is gone. */
  async function refuse(record: StoredRecord, reason: string): Promise<void> {
    if ('defect' in record || !record.agent.state.polled)
      return events.raise({ type: 'agent_not_taken_up', agent_id: record.agentId, reason })
    await keeper
      .applyStored(record.agent, { type: 'not_taken_up', reason })
      .catch((error) => logger.error(`agent ${record.agentId}: that it is not attested cannot be stored: ${causeChain(error).join(': ')}`))
  }

  /** Page by page, the first requests spread over an interval. */
  async function takeAll(count: number, takeOne: (record: StoredRecord, afterMs: number) => Promise<void>): Promise<void> {
    const spreadMs = Math.min(options.quoteInterval * 1000, count * SPREAD_MS)
    let number = 0
    let after = ''
    for (;;) {
      const records = await store.page(after, PAGE)
      for (const record of records) if (options.isOurs(record.agentId)) await takeOne(record, (number++ / count) * spreadMs)
      if (records.length < PAGE) return
      after = records.at(-1)!.agentId
      await turn()
    }
  }

  /** It may have been taken up by a command meanwhile, or be another verifier's again. */
  async function takeNew(agentId: string, afterMs: number): Promise<void> {
    if (agents.get(agentId) || !options.isOurs(agentId)) return
    const record = await store.find(agentId) // of now: a command may have changed it
    if (record) await take(record, afterMs)
  }

  return {
    async all() {
      await takeAll((await store.ids()).length, take)
      return agents.size
    },
    async several(agentIds) {
      if (agentIds.size < PAGE) for (const agentId of agentIds) await commands.take(agentId, () => takeNew(agentId, 0))
      else
        await takeAll(agentIds.size, async (record, afterMs) => {
          const { agentId } = record
          if (agentIds.has(agentId) && !agents.get(agentId)) await commands.take(agentId, () => takeNew(agentId, afterMs))
        })
    },
    one: (agentId) => takeNew(agentId, 0),
    open,
    policyChanged,
    async policyHeard(kind, name, digest) {
      const users = (await store.users(kind, name)).filter(options.isOurs)
      const isKnown = users.every((agentId) => agents.get(agentId)?.policy.refs[kind]?.sha256 === digest)
      if (!isKnown) await policyChanged(kind, name)
    },
  }

  /** One change after the other: each reads the store once for all agents of a page that must meet the same, and the last one counts. */
  function policyChanged(kind: PolicyKind, name: string): Promise<number> {
    return changes.run(async () => {
      const users = (await store.users(kind, name)).filter(options.isOurs)
      const giveWay = createGiveWay(SLICE_MS)
      for (let i = 0; i < users.length; i += PAGE) {
        await changePage(kind, users.slice(i, i + PAGE))
        await giveWay()
      }
      return users.length
    })
  }

  async function changePage(kind: PolicyKind, agentIds: readonly string[]): Promise<void> {
    const judgedBy = (agentId: string) => agents.get(agentId)?.policy.refs[kind]?.sha256
    const policyOf = together(policies.policyOf)
    const changed: string[] = []
    for (const agentId of agentIds) {
      const before = judgedBy(agentId)
      await commands.take(agentId, () => takeAgain(agentId, policyOf))
      if (judgedBy(agentId) !== before) changed.push(agentId) // the news of this change may have been here first
    }
    options.wake(changed.flatMap((agentId) => agents.get(agentId) ?? []))
  }

  async function takeAgain(agentId: string, policyOf = policies.policyOf): Promise<void> {
    const agent = agents.get(agentId)
    if (agent) return changePolicy(agent, policyOf)
    if (!options.isOurs(agentId)) return // any more
    const record = await store.find(agentId)
    if (record && 'agent' in record && record.agent.state.polled) await take(record, 0)
  }

  /** It must not be judged on by a policy that is withdrawn: where the new one cannot be had now, it is not attested until it can. */
  async function changePolicy(agent: ManagedAgent, policyOf: PolicyOf): Promise<void> {
    try {
      agent.policy = await policyOf(agent.enrolment)
    } catch (error) {
      await loop.pause(agent)
      agents.remove(agent.enrolment.agentId)
      agent.connection?.close()
      postpone(agent.enrolment.agentId, causeChain(error).join(': '))
    }
  }
}

type PolicyOf = (enrolment: Enrolment) => Promise<BookedPolicy>

/** The same once for all who must meet the same. */
function together(policyOf: PolicyOf): PolicyOf {
  const found = new Map<string, Promise<BookedPolicy>>()
  return (enrolment) => {
    const { tpmPolicy, runtimePolicy, mbPolicy, imaKeys } = enrolment
    const key = JSON.stringify([tpmPolicy, runtimePolicy, mbPolicy, imaKeys])
    const known = found.get(key) ?? policyOf(enrolment)
    found.set(key, known)
    return known
  }
}
