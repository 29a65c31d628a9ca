import type { Failure } from '../../core/attestation/failure.ts'
import type { JudgedFailure } from '../../core/attestation/severity.ts'
import type { Logger } from '../../io/log/logger.ts'
import type { ManagedAgent } from './managed-agent.ts'

export interface Announcement {
  agent: ManagedAgent
  type: 'revocation' | 'comm_error'
  failure: Failure | JudgedFailure
}

/** Tells the other machines about one that failed. Called after the failure is on the disk. */
export interface Announcer {
  announce(announcement: Announcement): void
}

/** Until notifiers are configured, a failure is announced in the log only. */
export const logAnnouncer = (logger: Logger): Announcer => ({
  announce: ({ agent, type, failure }) => logger.warn(`agent ${agent.enrolment.agentId}: ${type}: ${failure.eventId}`),
})
