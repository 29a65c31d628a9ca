import type { VerifierMode } from '../../../core/attestation/stored-agent.ts'
import type { KeyedLock } from '../../../core/concurrency/keyed-lock.ts'
import type { Clock } from '../../../io/clock.ts'
import type { MailboxStore } from '../../../io/db/mailbox-store.ts'
import type { VerifierStore } from '../../../io/db/verifier-store.ts'
import type { Logger } from '../../../io/log/logger.ts'
import type { AgentTable } from '../agents/agent-table.ts'
import type { Leasing } from '../leases/leasing.ts'
import type { PushParts } from './push-parts.ts'

/** What the endpoints of machines that bring their evidence work with. */
export interface PushContext {
  agents: AgentTable
  /** Has this verifier attest a machine before it does something with it. */
  commands: KeyedLock
  leasing: Pick<Leasing, 'strangerAk' | 'assure'>
  store: Pick<VerifierStore, 'find'>
  mailboxes: Pick<MailboxStore, 'open'>
  push: PushParts
  clock: Clock
  logger: Logger
  settings: {
    mode: VerifierMode
    /** Bytes of the evidence that a machine brings. */
    maxQuoteSize: number
  }
}
