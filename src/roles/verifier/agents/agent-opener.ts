import type tls from 'node:tls'
import { type Enrolment, FRESH_PROGRESS, type StoredAgent } from '../../../core/attestation/stored-agent.ts'
import { parsePublicArea } from '../../../core/tpm/public-area.ts'
import { type AgentClient, createAgentClient } from '../../../io/http/agent-client.ts'
import type { BookedPolicy } from '../policies/policy-book.ts'
import type { ManagedAgent } from './managed-agent.ts'

/** KeyedLock records into agents in memory. */
export interface AgentOpener {
  open(stored: StoredAgent, policy: BookedPolicy): ManagedAgent
  close(): void
}

export interface AgentOpenerOptions {
  /** Client certificate for every agent. */
  context: tls.SecureContext
  timeoutSeconds: number
  quoteInterval: number
}

const MIN_KEEP_ALIVE_SECONDS = 10
const MAX_KEEP_ALIVE_SECONDS = 120

export function createAgentOpener({ context, timeoutSeconds, quoteInterval }: AgentOpenerOptions): AgentOpener {
  const keepAliveSeconds = Math.min(Math.max(3 * quoteInterval, MIN_KEEP_ALIVE_SECONDS), MAX_KEEP_ALIVE_SECONDS)
  const client: AgentClient = createAgentClient({ context, timeoutSeconds, keepAliveSeconds })
  return {
    open({ enrolment, state, progress }, policy) {
      const ak = parsePublicArea(Buffer.from(enrolment.ak, 'base64'))
      const connection = client.connect({ host: enrolment.ip, port: enrolment.port, pin: enrolment.mtlsCertificate })
      const memory = {
        retries: 0,
        epoch: 0,
        busy: false,
        dueMs: null,
        turn: Promise.resolve(),
        partial: false,
        lastJudged: 0,
        evidenceStored: 0,
        removed: false,
      }
      return { enrolment, ak, connection, policy, state, progress, ...memory }
    },
    close: () => client.close(),
  }
}

/** The first state of an enrolment. @param v base64, or null when there is nothing to release. */
export const newAgent = (enrolment: Enrolment, v: string | null, supportedVersion: string): StoredAgent => ({
  enrolment,
  state: {
    operational: 1,
    announcedSeverity: null,
    failures: [],
    v,
    vState: v === null ? 'none' : 'held',
    vReleasedTo: null,
    transportKey: null,
    supportedVersion,
    algorithms: null,
  },
  progress: FRESH_PROGRESS,
})
