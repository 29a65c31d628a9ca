import type { DeliveryParameters, DeliveryReport } from '../api/push/delivery.ts'
import { FRESH_IMA, type ImaProgress } from '../ima/ima-policy.ts'
import type { ClockInfo } from '../tpm/attest.ts'
import type { Failure } from '../verdict/failure.ts'
import type { JudgedFailure } from '../verdict/severity.ts'
import type { AcceptedAlgorithms } from './accepted-algorithms.ts'
import { OPERATIONAL_STATE, type OperationalState } from './operational-state.ts'

/** What the tenant enrolled. It changes only as a whole, by an update of the tenant's. */
export interface Enrolment {
  agentId: string
  verifierId: string
  /** Where the verifier reaches the agent; empty and 0 for one that brings its evidence by itself. */
  ip: string
  port: number
  verifierIp: string
  verifierPort: number
  /** JSON text as it came, mask included. */
  tpmPolicy: string
  /** Name of a stored runtime policy, `ownPolicyName` for one of its own; null when there is none. */
  runtimePolicy: string | null
  /** Name of a stored measured boot policy, as above. */
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

/** `pull`: the verifier asks it. `push`: it brings its evidence. */
export type ComesBy = 'pull' | 'push'

/** How machines may come to a verifier: it asks them, they bring their evidence, or each as it was enrolled. */
export type VerifierMode = ComesBy | 'both'

export const comesBy = ({ ip }: Pick<Enrolment, 'ip'>): ComesBy => (ip === '' ? 'push' : 'pull')

/**
 * `none`: there is no V. `held`: waits for a good quote. `releasing`: may have been sent, the agent has not confirmed. `delivered`: confirmed,
 * and erased here. `withheld`: erased, because an older database was put back, and it may have been released since.
 */
export type VState = 'none' | 'held' | 'releasing' | 'delivered' | 'withheld'

/** The part that changes with each transition, always written before its effects. */
export interface StoredState {
  operational: OperationalState
  /** Whether it is asked on: also true of an unreachable machine, and of one whose failures are let pass. */
  polled: boolean
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
  /** Which runtime policy and keys `ima` was judged by: what another one let pass is judged again (invariant 10). */
  imaJudgedBy: string
}

export const FRESH_PROGRESS: AgentProgress = {
  attestationCount: 0,
  lastReceivedQuote: 0,
  lastSuccessfulAttestation: 0,
  clockInfo: null,
  ima: FRESH_IMA,
  imaJudgedBy: '',
}

/** A delivery that an operator ordered: what the verifier remembers of it beside the content of the mailbox. */
export interface StoredDelivery extends DeliveryParameters {
  /** Seconds since the epoch. */
  readonly orderedAt: number
  /** Order, sealed share and payload lie there; false once the delivery is confirmed. */
  readonly isKept: boolean
  /** The last that the machine said; null before it has. */
  readonly report: DeliveryReport | null
}

export interface StoredAgent {
  enrolment: Enrolment
  state: StoredState
  progress: AgentProgress
  /** What an operator ordered to be delivered through a mailbox; null or missing when nothing was. */
  delivery?: StoredDelivery | null | undefined
}

/** An agent as it is on the disk. A record that cannot be read is shown as what it is, never left out. */
export type StoredRecord = { agentId: string; agent: StoredAgent } | { agentId: string; defect: string }

/** The first state of an enrolment. @param v base64, or null when there is nothing to release. */
export const newState = (v: string | null, supportedVersion: string): StoredState => ({
  operational: OPERATIONAL_STATE.START,
  polled: true,
  announcedSeverity: null,
  failures: [],
  v,
  vState: v === null ? 'none' : 'held',
  vReleasedTo: null,
  transportKey: null,
  supportedVersion,
  algorithms: null,
})
