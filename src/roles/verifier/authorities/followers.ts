import { causeChain, isKeylimeError } from '../../../core/errors.ts'
import { parseCertificate } from '../../../core/pki/certificate.ts'
import { isSignedBy } from '../../../core/pki/chain.ts'
import type { Clock } from '../../../io/clock.ts'
import type { FollowerStore } from '../../../io/db/follower-store.ts'
import { clientContext } from '../../../io/http/api-client.ts'
import type { Logger } from '../../../io/log/logger.ts'
import { isTryAgain } from '../agents/agent-answers.ts'
import type { AgentOpener } from '../agents/agent-opener.ts'
import type { ManagedAgent } from '../agents/managed-agent.ts'
import type { AttestationRound, RoundResult } from '../rounds/attestation-round.ts'
import type { Authorities, AuthorityHolder, LateIntroduction } from './authorities.ts'
import { introduceAuthority } from './introduce-authority.ts'

/** Keeps machines with the authorities of the verifier while one takes the place of another (decision 64). */
export interface Followers {
  /** After a good round: tells the agent what it was not told, and stores what it believes. @throws what the agent's connection or the store throws. */
  heed(agent: ManagedAgent): Promise<void>
  /**
   * After a round that brought no quote: an agent that knows only the authority before is told of the next one, with what it believes, and asked again. One that
   * cannot be told is unreachable with that reason: an operator's change of authorities is no failure of the machine. Never throws.
   */
  seeTo(agent: ManagedAgent, result: RoundResult): Promise<RoundResult>
}

export interface FollowersOptions {
  authorities: AuthorityHolder
  store: FollowerStore
  opener: Pick<AgentOpener, 'connect'>
  round: AttestationRound
  clock: Clock
  logger: Logger
}

export function createFollowers({ authorities, store, opener, round, clock, logger }: FollowersOptions): Followers {
  const isOf = shownOf()

  async function record(agent: ManagedAgent, { key, next }: Authorities): Promise<void> {
    if (agent.follows === key) return
    await store.add(agent.enrolment.agentId, key)
    agent.follows = key
    agent.authorityRefusal = null
    logger.info(`agent ${agent.enrolment.agentId} knows the authority "${next.subject}"`)
  }

  async function knows(agent: ManagedAgent, { key }: Authorities): Promise<boolean> {
    return agent.follows === key || (await store.has(agent.enrolment.agentId, key))
  }

  async function tell(agent: ManagedAgent, current: Authorities): Promise<void> {
    if (!agent.connection) return
    const code = await introduceAuthority(agent.connection, agent.state.supportedVersion, current.introduction)
    if (isTryAgain(code)) return
    agent.told = current
    if (code === 200 && current.introduction.bridge !== null) return record(agent, current)
    if (code !== 200) agent.authorityRefusal = refusalText(code)
  }

  /** Over a connection with a certificate of the one before. @returns whether it believes the next one now. */
  async function tellLate(agent: ManagedAgent, current: Authorities, { client, introduction }: LateIntroduction): Promise<boolean> {
    const connection = opener.connect(agent.enrolment, clientContext(client))
    try {
      const code = await introduceAuthority(connection, agent.state.supportedVersion, introduction)
      if (code === 200) await record(agent, current)
      else agent.authorityRefusal = refusalText(code)
      return code === 200
    } finally {
      connection.close()
    }
  }

  async function late(agent: ManagedAgent, current: Authorities, result: RoundResult): Promise<RoundResult> {
    if (!result.notBelieved || !current.late || current.late.notAfter < clock.now()) return result
    try {
      return (await tellLate(agent, current, current.late)) ? await round(agent) : result
    } catch (error) {
      logger.debug(
        `agent ${agent.enrolment.agentId} was not told of the authority "${current.next.subject}": ${causeChain(error).join(': ')}`,
      )
      if (!isKeylimeError(error)) throw error
      return result
    }
  }

  return {
    async heed(agent) {
      const { current } = authorities
      if (!current || agent.enrolment.mtlsCertificate === null) return
      if (agent.told !== current) await tell(agent, current)
      // Who answers to a certificate of an authority believes it, however it came to know it.
      if (agent.follows !== current.key && isOf(agent.connection?.shown(), current)) await record(agent, current)
    },
    async seeTo(agent, result) {
      const { current } = authorities
      if (!('event' in result) || !current || current.introduction.bridge !== null || agent.enrolment.mtlsCertificate === null)
        return result
      const isAffected = result.event.type === 'unreachable' || result.notBelieved === true
      if (!isAffected || (await knows(agent, current))) return result
      const then = await late(agent, current, result)
      return 'event' in then && agent.follows !== current.key ? asUnreachable(agent, then, { current, now: clock.now() }) : then
    },
  }
}

const refusalText = (code: number): string => `it does not accept it (it answered ${code})`

function asUnreachable(
  { progress }: ManagedAgent,
  result: Extract<RoundResult, { event: unknown }>,
  { current, now }: { current: Authorities; now: number },
): RoundResult {
  const { event } = result
  if (event.type !== 'unreachable' && !(event.type === 'refused' && result.notBelieved)) return result
  const isTold = current.late !== null && current.late.notAfter > now
  const mend = isTold && !result.notBelieved ? 'it is told when it answers' : 'copy the verifier’s cacert.crt to it'
  const reason = `${event.reason}; it does not know the authority "${current.next.subject}", which has replaced the previous one: ${mend}`
  return { event: { type: 'unreachable', stage: 'quote', attestedBefore: progress.attestationCount > 0, reason } }
}

/** Whether a certificate that was shown is of an authority. All agents are shown the same: it is looked at once. */
function shownOf() {
  let last: { shown: string; key: string; is: boolean } | undefined
  return (shown: string | undefined, { key, next }: Authorities): boolean => {
    if (shown === undefined) return false
    if (last?.shown !== shown || last.key !== key) last = { shown, key, is: isSignedBy(parseCertificate(shown), next) }
    return last.is
  }
}
