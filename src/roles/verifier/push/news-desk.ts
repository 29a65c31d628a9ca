import { createHash } from 'node:crypto'
import type { WaitAnswer, WaitRequest } from '../../../core/api/push/wait.ts'
import { KeylimeError } from '../../../core/errors.ts'
import type { Clock } from '../../../io/clock.ts'
import { createScheduler } from '../../../io/scheduler.ts'
import type { AgentTable } from '../agents/agent-table.ts'
import type { ManagedAgent } from '../agents/managed-agent.ts'
import type { AuthorityNews, Said } from '../authorities/authority-news.ts'
import type { NoticeOutbox } from '../revocation/notice-outbox.ts'

export type News = WaitAnswer['data']['attributes']

/** Long requests of machines that bring their evidence: each is held until there is something for its machine. One a machine. */
export interface NewsDesk {
  /** @param onGone calls back when the machine has gone away. @throws KeylimeError `unavailable` while the verifier stops. */
  wait(agent: ManagedAgent, request: WaitRequest, onGone: (tell: () => void) => void): Promise<News>
  /** It shall attest at once, and may come before its time. @returns whether it is told now; otherwise it is with its next request. */
  wake(agent: ManagedAgent, why: string): boolean
  /** It was woken, and has not come since. */
  isWoken(agent: ManagedAgent): boolean
  /** It has come. */
  came(agent: ManagedAgent): void
  /** Nothing is held any more: connections that end with their answers keep nobody waiting. */
  readonly isStopping: boolean
  /** Answers everything that is held. */
  stop(): void
}

export interface NewsDeskOptions {
  agents: Pick<AgentTable, 'get'>
  outbox: NoticeOutbox
  authorities: Pick<AuthorityNews, 'newsFor'>
  /** Of the verifier's notifier, PEM; null where agents are told of no revocations. */
  notifier: string | null
  /** Seconds that a request is held at most. */
  longest: number
  clock: Clock
}

interface Held {
  readonly agent: ManagedAgent
  /** Digest of the notifier that it knows. */
  readonly notifier: string | null
  /** Of authorities. */
  readonly said: Said
  answer(news: News): void
}

interface WakeUp {
  readonly why: string
  tells: number
  /** Monotonic milliseconds. */
  toldAt: number
}

/** An answer may be lost; one that does not come though it is told is left alone: it comes by itself. */
const WAKE_TELLS = 3
const WAKE_AGAIN_MS = 2000

const NOTHING: News = { attest: null, notices: [], notifier: null }

export function createNewsDesk({ agents, outbox, authorities, notifier, longest, clock }: NewsDeskOptions): NewsDesk {
  const digest = notifier === null ? null : createHash('sha256').update(notifier, 'utf8').digest('hex')
  const holding = new Map<string, Held>()
  const wakeUps = new WeakMap<ManagedAgent, WakeUp>()
  const timer = createScheduler<Held>({ clock, run: async (held) => end(held, newsFor(held, true) ?? NOTHING) })
  let stopping = false

  function end(held: Held, news: News): void {
    if (holding.get(held.agent.enrolment.agentId) !== held) return
    leave(held)
    held.answer(news)
  }

  function leave(held: Held): void {
    timer.cancel(held)
    const { agentId } = held.agent.enrolment
    if (holding.get(agentId) === held) holding.delete(agentId)
  }

  /** Null for nothing. What is for one enrolment is not told to the machine of another. @param isEnd the request is answered in any case. */
  function newsFor({ agent, notifier: known, said }: Pick<Held, 'agent' | 'notifier' | 'said'>, isEnd: boolean): News | null {
    const { agentId } = agent.enrolment
    if (agents.get(agentId) !== agent) return { ...NOTHING, attest: 'its enrolment was changed' }
    const attest = tellWakeUp(agent)
    const notices = outbox.offer(agentId)
    const isOther = digest !== null && known !== digest
    const authority = authorities.newsFor(agent, said)
    const isNews =
      attest !== null || notices.length > 0 || (isOther && !agent.introduced) || (authority !== null && agent.told !== authority)
    if (!isNews && !isEnd) return null
    if (isOther) agent.introduced = true // one that does not take it is not told of it again and again
    if (authority) agent.told = authority // and so here; where the answer was lost it is in the next
    return { attest, notices, notifier: isOther ? notifier : null, ...(authority ? { authority } : {}) }
  }

  function tellWakeUp(agent: ManagedAgent): string | null {
    const wakeUp = wakeUps.get(agent)
    const now = clock.monotonic()
    if (!wakeUp || wakeUp.tells === WAKE_TELLS || (wakeUp.tells > 0 && now - wakeUp.toldAt < WAKE_AGAIN_MS)) return null
    wakeUp.tells++
    wakeUp.toldAt = now
    return wakeUp.why
  }

  function tell(agentId: string): boolean {
    const held = holding.get(agentId)
    const news = held && newsFor(held, false)
    if (news) end(held, news)
    return Boolean(news)
  }
  outbox.listen(tell)

  return {
    async wait(agent, { seconds, acknowledged, notifier: known, authority: said }, onGone) {
      const { agentId } = agent.enrolment
      const before = holding.get(agentId)
      if (before) end(before, NOTHING)
      outbox.acknowledge(agentId, acknowledged)
      if (stopping) throw new KeylimeError('unavailable', 'the verifier stops')
      const news = newsFor({ agent, notifier: known, said }, seconds === 0)
      if (news || seconds === 0) return news ?? NOTHING
      return new Promise((answer) => {
        const held: Held = { agent, notifier: known, said, answer }
        holding.set(agentId, held)
        timer.schedule(held, Math.min(seconds * 1000, longest * 1000, outbox.untilOffer(agentId)))
        onGone(() => leave(held))
      })
    },
    wake(agent, why) {
      wakeUps.set(agent, { why, tells: 0, toldAt: 0 })
      return tell(agent.enrolment.agentId)
    },
    isWoken: (agent) => wakeUps.has(agent),
    came: (agent) => void wakeUps.delete(agent),
    get isStopping() {
      return stopping
    },
    stop() {
      stopping = true
      for (const held of [...holding.values()]) end(held, NOTHING)
      timer.stop()
    },
  }
}
