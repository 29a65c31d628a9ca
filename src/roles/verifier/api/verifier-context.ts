import type { VerifierMode } from '../../../core/attestation/stored-agent.ts'
import type { KeyedLock } from '../../../core/concurrency/keyed-lock.ts'
import type { RateLimit } from '../../../core/concurrency/rate-limiter.ts'
import type { EventStream } from '../../../core/events/event-stream.ts'
import type { Judging } from '../../../core/judging/judging.ts'
import type { Clock } from '../../../io/clock.ts'
import type { FollowerStore } from '../../../io/db/follower-store.ts'
import type { HistoryStore } from '../../../io/db/history-store.ts'
import type { MailboxStore } from '../../../io/db/mailbox-store.ts'
import type { PolicyStore } from '../../../io/db/policy-store.ts'
import type { RevocationStore } from '../../../io/db/revocation-store.ts'
import type { VerifierStore } from '../../../io/db/verifier-store.ts'
import type { Logger } from '../../../io/log/logger.ts'
import type { AgentOpener } from '../agents/agent-opener.ts'
import type { AgentTable } from '../agents/agent-table.ts'
import type { AuthorityHolder } from '../authorities/authorities.ts'
import type { Leasing } from '../leases/leasing.ts'
import type { PolicyBook } from '../policies/policy-book.ts'
import type { PushParts } from '../push/push-parts.ts'
import type { RevocationNotifier } from '../revocation/revocation-notifier.ts'
import type { AttestationLoop } from '../rounds/attestation-loop.ts'
import type { TakeUp } from '../rounds/take-up.ts'
import type { StateKeeper } from '../verdicts/state-keeper.ts'

/** All that handlers work with; made once by `start.ts`. Each takes the members that it uses. */
export interface VerifierContext {
  /** The agents that this process attests: a cache. What is enrolled, and how it stands, is in `store`. */
  agents: AgentTable
  /** Which machines are this verifier's, where several share a database. */
  leasing: Leasing
  store: VerifierStore
  revocations: RevocationStore
  history: HistoryStore
  notifier: RevocationNotifier
  authorities: AuthorityHolder
  followers: FollowerStore
  policyStore: PolicyStore
  mailboxes: MailboxStore
  policies: PolicyBook
  judging: Judging
  events: EventStream
  loop: AttestationLoop
  keeper: StateKeeper
  opener: AgentOpener
  takeUp: TakeUp
  /** For machines that bring their evidence. */
  push: PushParts
  /** Commands of the operator for one agent, one after the other. */
  commands: KeyedLock
  clock: Clock
  logger: Logger
  settings: {
    verifierId: string
    quoteInterval: number
    mode: VerifierMode
    /** Agents must be reached by mutual TLS. */
    agentMtls: boolean
    /** Bytes of a request that brings policies. */
    maxUploadSize: number
    /** Bytes of the evidence that a machine brings. */
    maxQuoteSize: number
    /** What anybody may ask to be verified, and how often. */
    verify: { evidence: boolean; identity: boolean; rate: RateLimit }
  }
}
