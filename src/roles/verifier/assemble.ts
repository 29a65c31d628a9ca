import { silenceMs } from '../../core/attestation/push-interval.ts'
import { createKeyedLock } from '../../core/concurrency/keyed-lock.ts'
import type { Rate, RateLimit } from '../../core/concurrency/rate-limiter.ts'
import { causeChain } from '../../core/errors.ts'
import type { Judging } from '../../core/judging/judging.ts'
import { KIND_NAMES } from '../../core/policy/merge-policies.ts'
import { dangerText } from '../../core/policy/policy-dangers.ts'
import { systemClock } from '../../io/clock.ts'
import { askedTogether } from '../../io/db/asked-together.ts'
import type { MarkKeeper } from '../../io/db/database-mark.ts'
import type { FollowerStore } from '../../io/db/follower-store.ts'
import type { MailboxStore } from '../../io/db/mailbox-store.ts'
import type { PolicyStore } from '../../io/db/policy-store.ts'
import type { SharedDatabase, VerifierDatabase } from '../../io/db/verifier-database.ts'
import type { VerifierStore } from '../../io/db/verifier-store.ts'
import type { TlsIdentity } from '../../io/files/tls-identity.ts'
import { affordableConnections } from '../../io/http/connection-budget.ts'
import type { ClientContext } from '../../io/http/pinned-connector.ts'
import { withNativeAddon } from '../../io/judging/judging-rules.ts'
import type { Logger } from '../../io/log/logger.ts'
import { registrarAt } from './addresses/ask-registrar.ts'
import { createFollowAddress, type FollowAddress } from './addresses/follow-address.ts'
import { type AgentOpener, createAgentOpener } from './agents/agent-opener.ts'
import { createAgentTable } from './agents/agent-table.ts'
import type { ManagedAgent } from './agents/managed-agent.ts'
import { createProgressWriter, type ProgressWriter } from './agents/progress-writer.ts'
import type { VerifierContext } from './api/verifier-context.ts'
import type { Events } from './audit/start-events.ts'
import type { AuthorityHolder } from './authorities/authorities.ts'
import { createAuthorityNews } from './authorities/authority-news.ts'
import { createFollowers, type Followers } from './authorities/followers.ts'
import { blameOwnDates } from './authorities/own-dates.ts'
import { createLeaseKeeper, type LeaseKeeperOptions } from './leases/lease-keeper.ts'
import { type Leasing, owning, soleLeasing } from './leases/leasing.ts'
import type { VerifierFigures } from './metrics/verifier-figures.ts'
import { openStores } from './open-stores.ts'
import { createPolicyBook } from './policies/policy-book.ts'
import { pushParts } from './push/push-parts.ts'
import { postV } from './release/carry-v.ts'
import { createOffers } from './release/offer-v.ts'
import { NoticeOutbox } from './revocation/notice-outbox.ts'
import type { NotifierKey } from './revocation/notifier-key.ts'
import { createRevocationNotifier, type RevocationNotifier, type Sender } from './revocation/revocation-notifier.ts'
import { introduceNotifier } from './revocation/tell-agent.ts'
import { createAttestationLoop, type LoopOptions } from './rounds/attestation-loop.ts'
import { type AttestationRound, createAttestationRound } from './rounds/attestation-round.ts'
import { createTakeUp } from './rounds/take-up.ts'
import { createApplyVerdict } from './verdicts/apply-verdict.ts'
import { createStateKeeper } from './verdicts/state-keeper.ts'
import { judgingRulesOf, severityOf, timingOf, type VerifierValues } from './verifier-settings.ts'

/** What was opened for one run. */
export interface Opened {
  database: VerifierDatabase
  /** Null where the database is this verifier's alone. */
  shared: SharedDatabase | null
  mark: MarkKeeper
  /** Client certificate for every agent. */
  context: ClientContext
  /** Receivers of revocations that are no agents, by their name. */
  senders: ReadonlyMap<string, Sender>
  judging: Judging
  events: Events
  notifierKey: NotifierKey
  /** What agents are told of the authorities that count. */
  authorities: AuthorityHolder
  /** The verifier as a client of the registrar: what counts now. */
  client(): TlsIdentity
  /** How often the registrar is asked for addresses. */
  askAddresses: RateLimit
  figures: VerifierFigures
  logger: Logger
}

/** The parts of a running verifier. */
export interface Assembled {
  context: VerifierContext
  notifier: RevocationNotifier
  progress: ProgressWriter
}

/** Puts the rooms together: nothing runs before `takeUp.all`. */
export function assemble(values: VerifierValues, opened: Opened): Assembled {
  const { judging, logger } = opened
  const { stream: events } = opened.events
  const agents = createAgentTable()
  const stores = opened.figures.timed(openStores(values, opened.database, opened.shared))
  const { store, revocations, policyStore, mailboxes, followers } = stores
  const book = bookOf(values, opened, policyStore)
  const opener = openerOf(values, opened)
  const outbox = new NoticeOutbox(systemClock)
  const notifier = notifierOf(values, opened, { agents, outbox, revocations, store, leasing: () => leasing })
  const used = { ...opened, store, mailboxes, notifier, opener, followers, leasing: () => leasing }
  const { keeper, progress, loop, offers } = attestation(values, used)
  const lock = createKeyedLock()
  const commands = owning(lock, (agentId) => leasing.own(agentId))
  const shared = { agents, store, opener, keeper, loop, events, logger }
  const push = pushParts(values, {
    ...{ agents, judging, loop, offers, outbox, notifier: opened.notifierKey.certificate },
    authorities: createAuthorityNews({ authorities: opened.authorities, store: followers, clock: systemClock, logger }),
    ...{ clock: systemClock, logger },
  })
  const takeUp = createTakeUp({
    ...shared,
    policies: book,
    commands: lock,
    isOurs: (agentId) => leasing.has(agentId),
    quoteInterval: values.quote_interval,
    wake: (users) => push.wakeUps.many(users, 'its policy was changed'),
  })
  const leasing = leasingOf(values.uuid, opened, {
    ...shared,
    policies: policyStore,
    takeUp,
    progress,
    notifier,
    held: push.held,
    commands: lock,
  })
  const context: VerifierContext = {
    ...stores,
    agents,
    leasing,
    notifier,
    authorities: opened.authorities,
    policies: book,
    judging,
    events,
    loop,
    keeper,
    opener,
    takeUp,
    push,
    commands,
    clock: systemClock,
    logger,
    settings: settingsOf(values),
  }
  return { context, notifier, progress }
}

const leasingOf = (name: string, { shared }: Opened, used: Omit<LeaseKeeperOptions, 'shared' | 'clock'>): Leasing =>
  shared ? createLeaseKeeper({ ...used, shared, clock: systemClock }) : soleLeasing(name, used.takeUp.all, () => used.agents.size)

const bookOf = (values: VerifierValues, { judging, logger }: Opened, store: PolicyStore) =>
  createPolicyBook({
    store,
    judging,
    rules: withNativeAddon(judgingRulesOf(values)),
    warn: ({ kind, name, dangers }) =>
      logger.warn(`${KIND_NAMES[kind]} ${name} lets in what it should keep out: ${dangerText(dangers)}`, { warnings: dangers }),
  })

function notifierOf(
  values: VerifierValues,
  { events, notifierKey, senders, logger }: Opened,
  {
    revocations,
    store,
    leasing,
    ...used
  }: Pick<VerifierContext, 'agents' | 'revocations' | 'store'> & {
    outbox: NoticeOutbox
    leasing: () => Leasing
  },
): RevocationNotifier {
  return createRevocationNotifier({
    ...used,
    store: revocations,
    key: notifierKey,
    clock: systemClock,
    logger,
    tellAgents: values.enabled_revocation_notifications.includes('agent'),
    senders,
    retrySeconds: values.revocation_retry_seconds,
    isEnrolled: askedTogether(async (agentIds) => {
      const enrolled = await store.enrolled(agentIds)
      return agentIds.map((agentId) => enrolled.has(agentId))
    }),
    isOurs: (agentId) => leasing().has(agentId),
    events: events.stream,
  })
}

const openerOf = (values: VerifierValues, { context, logger }: Opened) =>
  createAgentOpener({
    context,
    timeoutSeconds: values.request_timeout,
    largestAnswer: values.max_quote_size,
    maxConnections: values.agent_connections || affordableConnections(values.quote_interval),
    clock: systemClock,
    logger,
  })

function introducer(values: VerifierValues, followers: Followers, { notifierKey, logger }: Opened): LoopOptions['introduce'] {
  const { certificate } = notifierKey
  const later = (agent: ManagedAgent, what: string) => (error: unknown) =>
    logger.debug(`agent ${agent.enrolment.agentId} was not told of ${what} yet: ${causeChain(error).join(': ')}`)
  return async function introduce(agent) {
    await followers.heed(agent).catch(later(agent, 'the authorities'))
    if (agent.introduced || !values.enabled_revocation_notifications.includes('agent')) return
    await introduceNotifier(agent, certificate).catch(later(agent, 'the notifier key'))
  }
}

interface AttestationParts extends Opened {
  store: VerifierStore
  mailboxes: MailboxStore
  notifier: RevocationNotifier
  opener: AgentOpener
  followers: FollowerStore
  leasing: () => Leasing
}

/** What asks, judges, and turns verdicts into state. */
function attestation(values: VerifierValues, parts: AttestationParts) {
  const { store, notifier, judging, events, mark, logger } = parts
  const shared = { clock: systemClock, logger, timing: timingOf(values), meter: parts.figures.meter }
  const progress = createProgressWriter({ ...shared, store })
  const keeper = createStateKeeper({ ...shared, store, notifier, events: events.stream })
  const applyVerdict = createApplyVerdict({
    ...shared,
    keeper,
    progress,
    severity: severityOf(values),
    quoteInterval: values.quote_interval,
    bootPolicy: values.measured_boot_policy_name,
  })
  const round = createAttestationRound({
    ...shared,
    judging,
    evaluateBootAlways: values.measured_boot_evaluate === 'always',
    maxEvidenceBytes: values.evidence_max_size,
    maxQuoteBytes: values.max_quote_size,
  })
  const followers = createFollowers({ ...shared, authorities: parts.authorities, store: parts.followers, opener: parts.opener, round })
  const [post, offers] = [postV(parts.mailboxes), createOffers(systemClock, silenceMs(values.quote_interval))]
  const followAddress = addressFollower(values, parts, round)
  return {
    progress,
    keeper,
    offers,
    loop: createAttestationLoop({
      ...shared,
      keeper,
      round,
      applyVerdict,
      carryV: (agent) => (agent.connection ? post(agent) : offers.carryV(agent)),
      async seeTo(agent, result) {
        const first = blameOwnDates(agent, result, { identity: parts.client(), now: systemClock.now() })
        return followAddress(agent, await followers.seeTo(agent, first))
      },
      introduce: introducer(values, followers, parts),
      async recorded({ enrolment: { agentId } }) {
        await mark.record()
        await events.flush()
        await parts.leasing().assure(agentId)
      },
      lost: () => parts.leasing().lost(),
    }),
  }
}

function addressFollower(values: VerifierValues, parts: AttestationParts, round: AttestationRound): FollowAddress {
  if (!values.follow_address) return async (_agent, result) => result
  const { store, opener, events, client, askAddresses: rate, logger } = parts
  const timeoutSeconds = Math.min(values.request_timeout, MAX_REGISTRAR_SECONDS)
  const ask = registrarAt({ host: values.registrar_ip, port: values.registrar_port, timeoutSeconds, client })
  return createFollowAddress({ ask, rate, opener, round, store, events: events.stream, clock: systemClock, logger })
}

/** The machine waits meanwhile. */
const MAX_REGISTRAR_SECONDS = 10

const aMinute = (count: number): Rate => ({ perSecond: count / 60, burst: count })

const settingsOf = (values: VerifierValues): VerifierContext['settings'] => ({
  verifierId: values.uuid,
  quoteInterval: values.quote_interval,
  mode: values.mode,
  agentMtls: values.enable_agent_mtls,
  maxUploadSize: values.max_upload_size,
  maxQuoteSize: values.max_quote_size,
  verify: {
    evidence: values.enable_verify_evidence,
    identity: values.enable_verify_identity,
    rate: { ofPeer: aMinute(values.verify_rate_limit_per_ip), ofAll: aMinute(values.verify_rate_limit) },
  },
})
