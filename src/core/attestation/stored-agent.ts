import { FRESH_IMA, type ImaProgress } from '../ima/ima-policy.ts'
import type { ClockInfo } from '../tpm/attest.ts'
import type { Failure } from '../verdict/failure.ts'
import type { JudgedFailure } from '../verdict/severity.ts'
import type { AcceptedAlgorithms } from './accepted-algorithms.ts'
import type { OperationalState } from './operational-state.ts'

/** What the tenant enrolled. It never changes: another enrolment is another record. */
export interface Enrolment {
  agentId: string
  verifierId: string
  /** Where the verifier reaches the agent. */
  ip: string
  port: number
  verifierIp: string
  verifierPort: number
  /** JSON text as it came, mask included. */
  tpmPolicy: string
  /** Name of a stored runtime policy; null when there is none. */
  runtimePolicy: string | null
  /** Name of a stored measured boot policy; null when there is none. */
  mbPolicy: string | null
  /** JSON text of a keyring for signed files, in the place of the policy's; empty or missing: the policy's. */
  imaKeys?: string
  /** JSON text: certificate serial and subject of the certificate package. */
  metaData: string
  /** PEM; empty without a certificate package. */
  revocationKey: string
  accepted: AcceptedAlgorithms
  /** Base64 TPM2B_PUBLIC. */
  ak: string
  /** PEM; null for agents without TLS. */
  mtlsCertificate: string | null
}

/**
 * `none`: there is no V. `held`: waits for a good quote. `releasing`: may have been sent, the agent has not confirmed. `delivered`: confirmed,
 * and erased here.
 */
export type VState = 'none' | 'held' | 'releasing' | 'delivered'

/** The part that changes with each transition, always written before its effects. */
export interface StoredState {
  operational: OperationalState
  announcedSeverity: number | null
  /** Of the last round that was not good; kept until the next good one. */
  failures: (Failure | JudgedFailure)[]
  /** Base64; null when there is none, or none any more. */
  v: string | null
  vState: VState
  /** SHA-256 of the transport key to which V was released. */
  vReleasedTo: string | null
  /** PEM of the last good quote. */
  transportKey: string | null
  supportedVersion: string
  algorithms: { hash: string; encryption: string; signing: string } | null
}

/** The part that changes with each quote; at most a second of it can be lost, and nothing depends on that second. */
export interface AgentProgress {
  attestationCount: number
  /** Seconds since the epoch; 0 before the first. */
  lastReceivedQuote: number
  lastSuccessfulAttestation: number
  clockInfo: ClockInfo | null
  ima: ImaProgress
}

export const FRESH_PROGRESS: AgentProgress = {
  attestationCount: 0,
  lastReceivedQuote: 0,
  lastSuccessfulAttestation: 0,
  clockInfo: null,
  ima: FRESH_IMA,
}

export interface StoredAgent {
  enrolment: Enrolment
  state: StoredState
  progress: AgentProgress
}
