import type { BootPolicyName } from '../../core/measured-boot/boot-policy.ts'
import type { Clock } from '../../io/clock.ts'
import type { RevocationStore } from '../../io/db/revocation-store.ts'
import type { VerifierStore } from '../../io/db/verifier-store.ts'
import type { Logger } from '../../io/log/logger.ts'
import type { AgentTable } from './agent-table.ts'
import type { Announcer } from './announcer.ts'
import type { AttestationLoop } from './attestation-loop.ts'
import type { Enroller } from './enroller.ts'
import type { PolicyBook } from './policy-book.ts'
import type { RuntimePolicyRules } from './runtime-policy-rules.ts'

/** What the handlers work with; made once by `start.ts`. */
export interface VerifierContext {
  agents: AgentTable
  store: VerifierStore
  revocations: RevocationStore
  announcer: Announcer
  policies: PolicyBook
  loop: AttestationLoop
  enroller: Enroller
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
