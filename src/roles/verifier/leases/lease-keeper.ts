import { comesBy } from '../../../core/attestation/stored-agent.ts'
import { type KeyedLock, takeAll } from '../../../core/concurrency/keyed-lock.ts'
import { createSerialQueue } from '../../../core/concurrency/serial-queue.ts'
import { causeChain, KeylimeError } from '../../../core/errors.ts'
import { parsePublicArea } from '../../../core/tpm/public-area.ts'
import type { Clock } from '../../../io/clock.ts'
import { LEASE_MS, type Living } from '../../../io/db/lease-store.ts'
import type { News } from '../../../io/db/news-store.ts'
import type { PolicyStore } from '../../../io/db/policy-store.ts'
import type { SharedDatabase } from '../../../io/db/verifier-database.ts'
import type { VerifierStore } from '../../../io/db/verifier-store.ts'
import type { Logger } from '../../../io/log/logger.ts'
import type { AgentTable } from '../agents/agent-table.ts'
import type { ManagedAgent } from '../agents/managed-agent.ts'
import type { ProgressWriter } from '../agents/progress-writer.ts'
import type { RevocationNotifier } from '../revocation/revocation-notifier.ts'
import type { AttestationLoop } from '../rounds/attestation-loop.ts'
import type { TakeUp } from '../rounds/take-up.ts'
import { createHearing } from './hearing.ts'
import type { Leasing } from './leasing.ts'
import { createNeighbours } from './neighbours.ts'

export interface LeaseKeeperOptions {
  shared: SharedDatabase
  agents: AgentTable
  store: VerifierStore
  policies: Pick<PolicyStore, 'digestOf'>
  takeUp: TakeUp
  loop: AttestationLoop
  progress: ProgressWriter
  /** Requests of machines that wait. */
  held: { wake(agent: ManagedAgent): void }
  notifier: Pick<RevocationNotifier, 'adopt'>
  commands: KeyedLock
  clock: Clock
  logger: Logger
}

/** Between two signs of life: four fit into a lease. */
const BEAT_MS = 1500
/** A share moves in steps: what is let go is not attested until another takes it. */
const STEP = 2000
/** What others have said need not be kept for long. */
const FORGET_MS = 3_600_000
/** More than the share that is not worth to be moved. */
const SLACK = 0.02
/** An answer that took longer may be of a time that is over. */
const ASSURED_MS = LEASE_MS / 4

/** Keeps this verifier's share of the machines: as many as each of those that live has, and more when one of them is missed. */
export function createLeaseKeeper(options: LeaseKeeperOptions): Leasing {
  const { shared, agents, takeUp, loop, notifier, commands, clock, logger } = options
  const { leases, news } = shared
  const turns = createSerialQueue()
  const listener = shared.listen(() => void soon())
  /** At the last sign of life, and at the last turn. */
  let living = 1
  let seen = 1
  /** A verifier has gone, and what it was to tell is not taken up yet. Told by the beat: a turn may be too long to see it. */
  let isMissed = false
  const hearing = createHearing({ news, hear, logger })
  const neighbours = createNeighbours(leases.name, { clock, logger })
  let timers: NodeJS.Timeout[] = []
  /** One that says nothing any more is missed when its lease ends, and not at the next turn. */
  let missing: NodeJS.Timeout | undefined
  let isDown = false
  /** Leased, and not taken up yet: when the server goes away in between, that is done later. */
  const untaken = new Set<string>()
  let waiting = false
  let wanted = 0
  const counts = { free: 0, asked: 0, given: 0, lost: 0 }

  async function turn(): Promise<void> {
    const before = seen
    seen = living
    if (seen !== before) logger.info(seen === 1 ? 'no other verifier uses the database now' : `${seen} verifiers share the database`)
    for (const agentId of await leases.reconcile()) untaken.add(agentId)
    for (const { enrolment } of agents.all())
      if (!leases.has(enrolment.agentId)) await commands.take(enrolment.agentId, () => drop(enrolment.agentId))
    await takeUpLeased()
    await share()
    hearing.begin()
    await adoptOthers()
    await listener.ensure()
  }

  /** What a verifier that is gone was to tell to receivers that are no agents: whoever misses it tells them, so that it is told twice rather than never. */
  async function adoptOthers(): Promise<void> {
    if (!isMissed) return
    isMissed = false
    try {
      await notifier.adopt({ agents: new Set(), others: true })
    } catch (error) {
      isMissed = true
      throw error
    }
  }

  async function share(): Promise<void> {
    const all = await leases.enrolled()
    const fair = Math.ceil(all / seen)
    if (leases.size < fair) await claim(fair - leases.size)
    else if (leases.size > fair * (1 + SLACK) + 1) await give(Math.min(leases.size - fair, STEP))
    wanted = leases.size < fair ? Math.min(fair, leases.size + (await leases.movable(fair))) : fair
  }

  async function claim(count: number): Promise<void> {
    const claimed = await leases.claim(count)
    if (claimed.length === 0) return
    logger.info(`${claimed.length} ${claimed.length === 1 ? 'agent is' : 'agents are'} attested by this verifier from now on`)
    counts.free += claimed.length
    for (const agentId of claimed) untaken.add(agentId)
    await takeUpLeased()
  }

  async function takeUpLeased(): Promise<void> {
    const ids = new Set(untaken)
    if (ids.size === 0) return
    await takeUp.several(ids)
    await notifier.adopt({ agents: ids, others: false }) // who had them before tells them nothing any more
    for (const agentId of ids) untaken.delete(agentId)
  }

  /** Machines that bring their evidence stay where they come to. */
  async function give(count: number): Promise<void> {
    const given: ManagedAgent[] = []
    for (const agent of agents.all()) {
      if (given.length === count) break
      const isUsed = agent.busy || agent.state.vState === 'releasing' || commands.isTaken(agent.enrolment.agentId)
      if (agent.connection && !isUsed) given.push(agent)
    }
    if (given.length === 0) return
    logger.info(`${given.length} ${given.length === 1 ? 'agent is' : 'agents are'} left to other verifiers`)
    const ids = given.map(({ enrolment }) => enrolment.agentId)
    await takeAll(commands, ids, () => giveHeld(given)) // a command that comes now would go on with a machine that is gone
  }

  async function giveHeld(given: readonly ManagedAgent[]): Promise<void> {
    for (const agent of given) await loop.pause(agent)
    try {
      const rows = given.map(({ enrolment, progress }) => ({ agentId: enrolment.agentId, progress }))
      await options.store.saveProgress(rows)
      await leases.give(rows.map(({ agentId }) => agentId))
    } catch (error) {
      for (const agent of given) loop.resume(agent)
      throw error
    }
    counts.given += given.length
    for (const agent of given) forget(agent)
  }

  async function drop(agentId: string): Promise<void> {
    const agent = agents.get(agentId)
    if (!agent || leases.has(agentId)) return
    counts.lost++
    await loop.pause(agent)
    forget(agent)
  }

  function forget(agent: ManagedAgent): void {
    const { agentId } = agent.enrolment
    if (agents.get(agentId) === agent) agents.remove(agentId)
    agent.connection?.close()
    options.held.wake(agent)
  }

  /** One that went to and fro between verifiers, and proved its key alone, would never count as unreachable otherwise. Where nobody lived who had it, it could bring nothing. */
  function isSilentStill(agent: ManagedAgent): void {
    const { lastReceivedQuote } = agent.progress
    if (agent.connection === null && lastReceivedQuote > 0) agent.lastJudged -= Math.max(0, clock.now() - lastReceivedQuote * 1000)
  }

  async function hear(item: News): Promise<void> {
    if (item.what === 'policy') await takeUp.policyHeard(item.kind, item.name, await options.policies.digestOf(item.kind, item.name))
    else await notifier.adopt({ revocation: item.revocation })
  }

  function pulls(): number {
    let count = 0
    for (const { enrolment } of agents.all()) if (comesBy(enrolment) === 'pull') count++
    return count
  }

  async function signOfLife(): Promise<Living> {
    const asked = clock.monotonic()
    const found = await leases.beat(pulls())
    neighbours.heed(found, asked)
    return found
  }

  /** For itself: to take up thousands of machines takes longer than a lease. */
  async function beat(): Promise<void> {
    const found = await signOfLife().catch(() => null) // told by the turn that fails, too
    if (!found) return
    if (found.count < living) isMissed = true
    living = found.count
    clearTimeout(missing)
    if (found.firstEndMs < BEAT_MS && timers.length > 0) missing = setTimeout(() => void beat().then(soon), Math.ceil(found.firstEndMs) + 1)
  }

  /** What cannot be done now, because the server is away, is done at the next turn; until then the machines that are known are attested on. */
  async function tryTurn(): Promise<void> {
    try {
      await turn()
      if (isDown) logger.info('the database can be used again')
      isDown = false
    } catch (error) {
      if (!isDown) logger.error(`what other verifiers do is not known now: ${causeChain(error).join(': ')}`)
      isDown = true
    }
  }

  async function soon(): Promise<void> {
    if (waiting || timers.length === 0) return
    waiting = true
    await turns.run(() => {
      waiting = false
      return tryTurn()
    })
  }

  return {
    has: (agentId) => leases.has(agentId),
    holders: (agentIds) => leases.holders(agentIds),
    get isDown() {
      return isDown || hearing.isDeaf
    },
    get figures() {
      return { verifiers: seen, held: leases.size, wanted, ...counts }
    },
    async own(agentId) {
      const took = await leases.take(agentId)
      if (took !== 'taken' && took !== 'free') return
      counts[took === 'taken' ? 'asked' : 'free']++
      const stale = agents.get(agentId)
      if (stale) {
        await loop.pause(stale)
        forget(stale)
      }
      untaken.add(agentId)
      await takeUp.one(agentId)
      const agent = agents.get(agentId)
      if (agent && took === 'taken') isSilentStill(agent)
      await notifier.adopt({ agent: agentId })
      untaken.delete(agentId)
    },
    async strangerAk(agentId) {
      const record = leases.has(agentId) ? null : await options.store.find(agentId)
      return record && 'agent' in record ? parsePublicArea(Buffer.from(record.agent.enrolment.ak, 'base64')) : null
    },
    async assure(agentId) {
      const asked = clock.monotonic()
      const isOurs = await leases.isOurs(agentId)
      if (isOurs && clock.monotonic() - asked < ASSURED_MS) return
      throw new KeylimeError('conflict', `whether agent ${agentId} is attested here or by another verifier is not known`)
    },
    lost: () => void soon(),
    async start() {
      await news.forget()
      await hearing.start()
      living = (await signOfLife()).count
      timers = [beat, soon].map((work) => setInterval(() => void work(), BEAT_MS).unref())
      timers.push(setInterval(() => void news.forget().catch(() => undefined), FORGET_MS).unref()) // what is left is forgotten the next time
      await turns.run(turn)
    },
    async stop() {
      for (const timer of timers.splice(0)) clearInterval(timer)
      clearTimeout(missing)
      await listener.close()
      await turns.idle()
      await hearing.stop()
    },
  }
}
