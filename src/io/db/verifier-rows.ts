import type { OperationalState } from '../../core/attestation/operational-state.ts'
import { type AgentProgress, FRESH_PROGRESS, type StoredState, type VState } from '../../core/attestation/stored-agent.ts'
import { FRESH_IMA, type ImaProgress } from '../../core/ima/ima-policy.ts'
import type { ClockInfo } from '../../core/tpm/attest.ts'

export interface StateRow {
  operational_state: number
  announced_severity: number | null
  failures: string
  v: string | null
  v_state: string
  v_released_to: string | null
  transport_key: string | null
  supported_version: string
  algorithms: string | null
}

export interface ProgressRow {
  agent_id: string
  attestation_count: number
  last_received: number
  last_successful: number
  clock: string | null
  ima: string | null
}

export const encodeState = (state: StoredState): StateRow => ({
  operational_state: state.operational,
  announced_severity: state.announcedSeverity,
  failures: JSON.stringify(state.failures),
  v: state.v,
  v_state: state.vState,
  v_released_to: state.vReleasedTo,
  transport_key: state.transportKey,
  supported_version: state.supportedVersion,
  algorithms: state.algorithms ? JSON.stringify(state.algorithms) : null,
})

export const decodeState = (row: StateRow): StoredState => ({
  operational: row.operational_state as OperationalState,
  announcedSeverity: row.announced_severity,
  failures: JSON.parse(row.failures),
  v: row.v,
  vState: row.v_state as VState,
  vReleasedTo: row.v_released_to,
  transportKey: row.transport_key,
  supportedVersion: row.supported_version,
  algorithms: row.algorithms ? JSON.parse(row.algorithms) : null,
})

export function encodeProgress(agentId: string, given: AgentProgress | null): ProgressRow {
  const progress = given ?? FRESH_PROGRESS
  const { clockInfo: clock, ima } = progress
  return {
    agent_id: agentId,
    attestation_count: progress.attestationCount,
    last_received: progress.lastReceivedQuote,
    last_successful: progress.lastSuccessfulAttestation,
    clock: clock ? `${clock.clock},${clock.resetCount},${clock.restartCount},${clock.safe ? 1 : 0}` : null,
    ima: ima.nextEntry === 0 ? null : JSON.stringify({ ...ima, pcr10: ima.pcr10?.toString('hex') ?? null }),
  }
}

export const decodeProgress = (row: Omit<ProgressRow, 'agent_id'>): AgentProgress => ({
  attestationCount: row.attestation_count,
  lastReceivedQuote: row.last_received,
  lastSuccessfulAttestation: row.last_successful,
  clockInfo: row.clock ? decodeClock(row.clock) : null,
  ima: row.ima ? decodeIma(row.ima) : FRESH_IMA,
})

function decodeClock(text: string): ClockInfo {
  const [clock, reset, restart, safe] = text.split(',')
  return { clock: BigInt(clock!), resetCount: Number(reset), restartCount: Number(restart), safe: safe !== '0' }
}

function decodeIma(text: string): ImaProgress {
  const json = JSON.parse(text) as Omit<ImaProgress, 'pcr10'> & { pcr10: string | null }
  return { ...json, pcr10: json.pcr10 === null ? null : Buffer.from(json.pcr10, 'hex') }
}
