import { hostPort } from '../../../core/api/host-port.ts'
import { type RateLimit, RateLimiter } from '../../../core/concurrency/rate-limiter.ts'
import { causeChain, isKeylimeError } from '../../../core/errors.ts'
import type { EventStream } from '../../../core/events/event-stream.ts'
import type { Clock } from '../../../io/clock.ts'
import type { VerifierStore } from '../../../io/db/verifier-store.ts'
import type { Logger } from '../../../io/log/logger.ts'
import type { AgentOpener } from '../agents/agent-opener.ts'
import type { ManagedAgent } from '../agents/managed-agent.ts'
import type { AttestationRound, RoundResult } from '../rounds/attestation-round.ts'
import type { AskRegistrar } from './ask-registrar.ts'
import { type Address, registeredAddress } from './registered-address.ts'

/**
 * `follow_address`: an agent that cannot be reached is looked for where it has registered. The address is stored only after a good quote from there, over TLS
 * with the key that is pinned. @returns that round in place of the one that reached nobody; never throws for what an agent or the registrar does.
 */
export type FollowAddress = (agent: ManagedAgent, result: RoundResult) => Promise<RoundResult>

export interface FollowAddressOptions {
  ask: AskRegistrar
  /** How often the registrar is asked. */
  rate: RateLimit
  opener: Pick<AgentOpener, 'connect'>
  round: AttestationRound
  store: Pick<VerifierStore, 'move'>
  events: EventStream
  clock: Clock
  logger: Logger
}

export function createFollowAddress({ ask, rate, opener, round, store, events, clock, logger }: FollowAddressOptions): FollowAddress {
  const limit = new RateLimiter(rate)

  async function lookUp({ enrolment }: ManagedAgent): Promise<Address | null> {
    const record = await ask(enrolment.agentId)
    const found = record === null ? 'same' : registeredAddress(enrolment, record)
    if (found === 'same') return null
    if ('elsewhere' in found) return found.elsewhere
    logger.warn(`agent ${enrolment.agentId} ${found.why}; it is asked where it was`)
    return null
  }

  /** @returns its round when that was good, and the address is stored. */
  async function tryAt(agent: ManagedAgent, to: Address): Promise<RoundResult | null> {
    const { enrolment, epoch } = agent
    const from = { ip: enrolment.ip, port: enrolment.port }
    const connection = opener.connect({ ...enrolment, ...to })
    let isTaken = false
    try {
      const there = { ...agent, connection, partial: false }
      const result = await askUntilJudged(there, round)
      const why = whyNot(result)
      if (why !== null) {
        logger.warn(`agent ${enrolment.agentId} is registered at ${hostPort(to.ip, to.port)}, and is not followed there: ${why}`)
        return null
      }
      const event = {
        type: 'agent_address_followed',
        agent_id: enrolment.agentId,
        from: hostPort(from.ip, from.port),
        to: hostPort(to.ip, to.port),
      } as const
      await agent.changes.run(async () => {
        if (agent.removed || agent.epoch !== epoch) return
        isTaken = await store.move(enrolment.agentId, { from, to }, event)
        if (!isTaken) return
        agent.connection?.close()
        Object.assign(agent, { enrolment: { ...enrolment, ...to }, connection, progress: there.progress, introduced: false })
        events.raise(event)
      })
      return isTaken ? result : null
    } finally {
      if (!isTaken) connection.close()
    }
  }

  return async (agent, result) => {
    const { mtlsCertificate, agentId } = agent.enrolment
    if (!('event' in result) || result.event.type !== 'unreachable') return result
    if (mtlsCertificate === null || agent.retries === 0 || agent.removed) return result // once is no sign that it is elsewhere
    if (limit.take(agentId, clock.monotonic()) > 0) return result
    try {
      const to = await lookUp(agent)
      return (to && (await tryAt(agent, to))) ?? result
    } catch (error) {
      if (!isKeylimeError(error)) throw error
      logger.warn(`agent ${agentId} cannot be looked for at the registrar: ${causeChain(error).join(': ')}`)
      return result
    }
  }
}

/** A machine that was rebooted is asked for its whole log: it is likely to have another address after that. */
async function askUntilJudged(there: ManagedAgent, round: AttestationRound): Promise<RoundResult> {
  const result = await round(there)
  if (!('round' in result) || result.round.judged.verdict.outcome !== 'again') return result
  const { clockInfo, ima } = result.round.judged.verdict
  there.progress = { ...there.progress, clockInfo, ima, imaJudgedBy: result.round.policy.imaJudgedBy }
  return round(there)
}

function whyNot(result: RoundResult): string | null {
  if ('later' in result) return result.later
  if ('event' in result) return 'reason' in result.event ? result.event.reason : 'it gave no quote'
  const { verdict } = result.round.judged
  if (verdict.outcome === 'passed') return null
  return verdict.outcome === 'failed' ? `its quote is not good (${verdict.failures[0]?.eventId ?? ''})` : 'it was rebooted again'
}
