import { createHash } from 'node:crypto'
import { type AuthorityIntroduction, tellingText } from '../../../core/api/authority-introduction.ts'
import type { WaitRequest } from '../../../core/api/push/wait.ts'
import type { Clock } from '../../../io/clock.ts'
import type { FollowerStore } from '../../../io/db/follower-store.ts'
import type { Logger } from '../../../io/log/logger.ts'
import type { ManagedAgent } from '../agents/managed-agent.ts'
import type { AuthorityHolder } from './authorities.ts'

/** What a machine said of authorities in its long request; undefined of one that follows none. */
export type Said = WaitRequest['authority']

/** Tells machines that bring their evidence of the authorities that count, in the answer to a long request (decision 115). */
export interface AuthorityNews {
  /** Stores what the machine believes. @throws what the store throws. */
  heard(agent: ManagedAgent, said: Said): Promise<void>
  /** Null where it has heard all that there is for it. */
  newsFor(agent: ManagedAgent, said: Said): AuthorityIntroduction | null
}

interface Used {
  authorities: AuthorityHolder
  store: FollowerStore
  clock: Pick<Clock, 'now'>
  logger: Logger
}

const FOLLOWS_NOBODY = 'it follows no authority, or has an earlier version: copy cacert.crt to it'
const DOES_NOT_TAKE_IT = 'it does not trust the authority that vouches for it: copy cacert.crt to it'

export function createAuthorityNews({ authorities, store, clock, logger }: Used): AuthorityNews {
  const digests = new WeakMap<AuthorityIntroduction, string>()

  function digestOf(introduction: AuthorityIntroduction): string {
    const digest = digests.get(introduction) ?? createHash('sha256').update(tellingText(introduction)).digest('hex')
    digests.set(introduction, digest)
    return digest
  }

  /** A machine that was off meanwhile is first told who has vouched for the next one, and then that the one before is over. */
  function telling(agent: ManagedAgent): AuthorityIntroduction | null {
    const { current } = authorities
    if (!current) return null
    const isLate = current.introduction.bridge === null && agent.follows !== current.key
    return isLate && current.late && current.late.notAfter > clock.now() ? current.late.introduction : current.introduction
  }

  /** What it has not heard yet; the same object for the same telling. */
  function unheard(agent: ManagedAgent, said: Said): AuthorityIntroduction | null {
    const shown = said === undefined ? null : telling(agent)
    return shown === null || said?.digest === digestOf(shown) ? null : shown
  }

  function refusalOf(agent: ManagedAgent, said: Said): string | null {
    if (said === undefined) return FOLLOWS_NOBODY
    return unheard(agent, said) ? null : DOES_NOT_TAKE_IT
  }

  return {
    newsFor: unheard,
    async heard(agent, said) {
      const { current } = authorities
      if (!current || agent.follows === current.key) return
      const { agentId } = agent.enrolment
      if (said?.believes === current.key) {
        await store.add(agentId, current.key)
        agent.follows = current.key
        agent.authorityRefusal = null
        logger.info(`agent ${agentId} knows the authority "${current.next.subject}"`)
      } else if (await store.has(agentId, current.key)) agent.follows = current.key
      else agent.authorityRefusal = refusalOf(agent, said)
    },
  }
}
