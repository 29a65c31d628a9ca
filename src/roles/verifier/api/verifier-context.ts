import type { BootPolicyName } from '../../../core/measured-boot/boot-policy.ts'
import type { Clock } from '../../../io/clock.ts'
import type { RevocationStore } from '../../../io/db/revocation-store.ts'
import type { VerifierStore } from '../../../io/db/verifier-store.ts'
import type { Logger } from '../../../io/log/logger.ts'
import type { AgentOpener } from '../agents/agent-opener.ts'
import type { AgentTable } from '../agents/agent-table.ts'
import type { PolicyBook } from '../policies/policy-book.ts'
import type { RuntimePolicyRules } from '../policies/runtime-policy-rules.ts'
import type { RevocationNotifier } from '../revocation/revocation-notifier.ts'
import type { AttestationLoop } from '../rounds/attestation-loop.ts'

/** What the handlers work with; made once by `start.ts`. */
export interface VerifierContext {
  agents: AgentTable
  store: VerifierStore
  revocations: RevocationStore
  notifier: RevocationNotifier
  policies: PolicyBook
  loop: AttestationLoop
  opener: AgentOpener
  clock: Clock
  logger: Logger
  settings: {
    verifierId: string
    quoteInterval: number
    /** Agents must be reached by mutual TLS. */
    agentMtls: boolean
    runtimePolicyRules: RuntimePolicyRules
    /** How a boot log is judged against the reference state of an agent. */
    bootPolicy: BootPolicyName
  }
}
