import type { Judging } from '../../../core/judging/judging.ts'
import type { Clock } from '../../../io/clock.ts'
import type { Logger } from '../../../io/log/logger.ts'
import type { AgentTable } from '../agents/agent-table.ts'
import type { AuthorityNews } from '../authorities/authority-news.ts'
import type { Offers } from '../release/offer-v.ts'
import type { NoticeOutbox } from '../revocation/notice-outbox.ts'
import type { AttestationLoop } from '../rounds/attestation-loop.ts'
import { createWakeUps, type WakeUps } from '../rounds/wake-ups.ts'
import type { VerifierValues } from '../verifier-settings.ts'
import { type Attestations, createAttestations } from './attestations.ts'
import { type Crowd, createCrowd } from './crowd.ts'
import { createHeldRequests, type HeldRequests } from './held-requests.ts'
import { createJudgeBrought, type JudgeBrought } from './judge-brought.ts'
import { createNewsDesk, type NewsDesk } from './news-desk.ts'
import { createPace, type Pace } from './pace.ts'
import { createSessions, type Sessions } from './sessions.ts'

/** What handlers of machines that bring their evidence work with. */
export interface PushParts {
  sessions: Sessions
  attestations: Attestations
  judge: JudgeBrought
  news: NewsDesk
  /** What machines say and are told of authorities. */
  authorities: AuthorityNews
  pace: Pace
  wakeUps: WakeUps
  /** Seconds that a long request is held; 0 for none. */
  longestWait: number
  /** Machines that wait for the verdict over what they brought. */
  held: HeldRequests
  /** V for those that passed. */
  offers: Offers
  /** `auto_recover_attestation_failures`: a machine that failed may prove itself again. */
  autoRecover: boolean
  /** When they come again. */
  crowd: Crowd
  /** Answers all requests that are held, and wakes nobody any more. */
  stop(): void
}

interface Used {
  agents: Pick<AgentTable, 'get'>
  judging: Judging
  loop: AttestationLoop
  outbox: NoticeOutbox
  authorities: AuthorityNews
  /** The verifier's own, PEM. */
  notifier: string
  offers: Offers
  clock: Clock
  logger: Logger
}

/** Of the wire. */
const LONGEST_WAIT = 3600

export function pushParts(values: VerifierValues, used: Used): PushParts {
  const { agents, outbox, authorities, clock } = used
  const sessions = createSessions({
    clock,
    nonceLifetime: values.nonce_lifetime,
    sessionLifetime: values.session_lifetime,
    keyOf: (agentId) => agents.get(agentId)?.akName,
  })
  const held = createHeldRequests()
  const attestations = createAttestations(clock, values.challenge_lifetime, held.wake)
  const judge = createJudgeBrought({
    ...used,
    sessions,
    attestations,
    extends: values.extend_token_on_attestation,
    evaluateBootAlways: values.measured_boot_evaluate === 'always',
    maxEvidenceBytes: values.evidence_max_size,
  })
  const tellsAgents = values.enabled_revocation_notifications.includes('agent')
  const longestWait = Math.min(values.push_wait_time, LONGEST_WAIT)
  const news = createNewsDesk({ agents, outbox, authorities, notifier: tellsAgents ? used.notifier : null, longest: longestWait, clock })
  const crowd = createCrowd({ quoteInterval: values.quote_interval, clock, logger: used.logger })
  const wakeUps = createWakeUps({ ...used, wake: news.wake, quoteInterval: values.quote_interval })
  return {
    sessions,
    attestations,
    judge,
    news,
    authorities,
    pace: createPace(clock, values.quote_interval),
    wakeUps,
    longestWait,
    held,
    offers: used.offers,
    autoRecover: values.auto_recover_attestation_failures,
    crowd,
    stop() {
      crowd.stop()
      news.stop()
      held.stop()
      wakeUps.stop()
    },
  }
}
