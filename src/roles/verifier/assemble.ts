import type tls from 'node:tls'
import { createKeyedLock } from '../../core/concurrency/keyed-lock.ts'
import { KIND_NAMES } from '../../core/policy/merge-policies.ts'
import { dangerText } from '../../core/policy/policy-dangers.ts'
import { systemClock } from '../../io/clock.ts'
import { policyStore } from '../../io/db/policy-store.ts'
import { revocationStore } from '../../io/db/revocation-store.ts'
import type { VerifierDatabase } from '../../io/db/verifier-database.ts'
import { type VerifierStore, verifierStore } from '../../io/db/verifier-store.ts'
import type { Logger } from '../../io/log/logger.ts'
import { createAgentOpener } from './agents/agent-opener.ts'
import { createAgentTable } from './agents/agent-table.ts'
import { createProgressWriter, type ProgressWriter } from './agents/progress-writer.ts'
import type { VerifierContext } from './api/verifier-context.ts'
import { createPolicyBook } from './policies/policy-book.ts'
import { createPolicyReader } from './policies/read-policy.ts'
import { imaJudging } from './policies/runtime-policy-rules.ts'
import { postV } from './release/carry-v.ts'
import { createRevocationNotifier, type RevocationNotifier, type Sender } from './revocation/revocation-notifier.ts'
import { createAttestationLoop } from './rounds/attestation-loop.ts'
import { createAttestationRound } from './rounds/attestation-round.ts'
import { createTakeUp } from './rounds/take-up.ts'
import { createApplyVerdict } from './verdicts/apply-verdict.ts'
import { createStateKeeper } from './verdicts/state-keeper.ts'
import { bootPolicyOf, severityOf, timingOf, type VerifierValues } from './verifier-settings.ts'

/** What was opened for one run. */
export interface Opened {
  database: VerifierDatabase
  /** Client certificate for every agent. */
  context: tls.SecureContext
  /** Receivers of revocations that are no agents, by their name. */
  senders: ReadonlyMap<string, Sender>
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
  const { database, logger } = opened
  const settings = settingsOf(values)
  const agents = createAgentTable()
  const store = verifierStore(database, values.evidence_total_size)
  const revocations = revocationStore(database)
  const policies = policyStore(database)
  const book = createPolicyBook({
    store: policies,
    read: createPolicyReader(settings.runtimePolicyRules, settings.bootPolicy),
    judging: imaJudging(settings.runtimePolicyRules),
    warn: ({ kind, name, dangers }) =>
      logger.warn(`${KIND_NAMES[kind]} ${name} lets in what it should keep out: ${dangerText(dangers)}`, { warnings: dangers }),
  })
  const opener = createAgentOpener({
    context: opened.context,
    timeoutSeconds: values.request_timeout,
    quoteInterval: values.quote_interval,
  })
  const notifier = createRevocationNotifier({
    agents,
    store: revocations,
    clock: systemClock,
    logger,
    tellAgents: values.enabled_revocation_notifications.includes('agent'),
    senders: opened.senders,
    retrySeconds: values.revocation_retry_seconds,
    isEnrolled: async (agentId) => (await store.find(agentId)) !== null,
  })
  const { keeper, progress, loop } = attestation(values, { store, notifier, logger })
  const takeUp = createTakeUp({ agents, store, policies: book, opener, keeper, loop, logger, quoteInterval: values.quote_interval })
  const context: VerifierContext = {
    agents,
    store,
    revocations,
    policyStore: policies,
    policies: book,
    loop,
    keeper,
    opener,
    takeUp,
    commands: createKeyedLock(),
    clock: systemClock,
    logger,
    settings,
  }
  return { context, notifier, progress }
}

/** What asks, judges, and turns verdicts into state. */
function attestation(
  values: VerifierValues,
  { store, notifier, logger }: { store: VerifierStore; notifier: RevocationNotifier; logger: Logger },
) {
  const shared = { clock: systemClock, logger, timing: timingOf(values) }
  const progress = createProgressWriter(store, logger)
  const keeper = createStateKeeper({ ...shared, store, notifier })
  const applyVerdict = createApplyVerdict({
    ...shared,
    keeper,
    progress,
    severity: severityOf(values),
    quoteInterval: values.quote_interval,
    evidenceRules: {
      bootPolicy: values.measured_boot_policy_name,
      failOnViolations: values.fail_on_violations,
      maxBytes: values.evidence_max_size,
    },
  })
  const round = createAttestationRound({ evaluateBootAlways: values.measured_boot_evaluate === 'always' })
  return { progress, keeper, loop: createAttestationLoop({ ...shared, keeper, round, applyVerdict, carryV: postV }) }
}

const settingsOf = (values: VerifierValues): VerifierContext['settings'] => ({
  verifierId: values.uuid,
  quoteInterval: values.quote_interval,
  agentMtls: values.enable_agent_mtls,
  maxUploadSize: values.max_upload_size,
  runtimePolicyRules: { failOnViolations: values.fail_on_violations, requireSigned: values.require_allow_list_signatures },
  bootPolicy: bootPolicyOf(values),
})
