import { z } from 'zod'
import { deliveryReport } from '../../core/api/push/delivery.ts'
import { isOperationalState, type OperationalState } from '../../core/attestation/operational-state.ts'
import {
  type AgentProgress,
  type Enrolment,
  FRESH_PROGRESS,
  type StoredDelivery,
  type StoredRecord,
  type StoredState,
  type VState,
} from '../../core/attestation/stored-agent.ts'
import { FRESH_IMA, type ImaProgress } from '../../core/ima/ima-policy.ts'
import { ownCopy } from '../../core/own-copy.ts'
import type { ClockInfo } from '../../core/tpm/attest.ts'

export interface StateRow {
  operational_state: number
  polled: number
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
  polled: state.polled ? 1 : 0,
  announced_severity: state.announcedSeverity,
  failures: JSON.stringify(state.failures),
  v: state.v,
  v_state: state.vState,
  v_released_to: state.vReleasedTo,
  transport_key: state.transportKey,
  supported_version: state.supportedVersion,
  algorithms: state.algorithms ? JSON.stringify(state.algorithms) : null,
})

const decodeState = (row: StateRow): StoredState => ({
  operational: row.operational_state as OperationalState,
  polled: row.polled !== 0,
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
    ima: ima.nextEntry === 0 ? null : JSON.stringify({ ...ima, pcr10: ima.pcr10?.toString('hex') ?? null, judgedBy: progress.imaJudgedBy }),
  }
}

const decodeProgress = (row: Omit<ProgressRow, 'agent_id'>): AgentProgress => ({
  attestationCount: row.attestation_count,
  lastReceivedQuote: row.last_received,
  lastSuccessfulAttestation: row.last_successful,
  clockInfo: row.clock ? decodeClock(row.clock) : null,
  ...(row.ima ? decodeIma(row.ima) : { ima: FRESH_IMA, imaJudgedBy: '' }),
})

function decodeClock(text: string): ClockInfo {
  const [clock, reset, restart, safe] = text.split(',')
  return { clock: BigInt(clock!), resetCount: Number(reset), restartCount: Number(restart), safe: safe !== '0' }
}

function decodeIma(text: string): Pick<AgentProgress, 'ima' | 'imaJudgedBy'> {
  const { judgedBy = '', pcr10, ...json } = JSON.parse(text) as Omit<ImaProgress, 'pcr10'> & { pcr10: string | null; judgedBy?: string }
  return { ima: { ...json, pcr10: pcr10 === null ? null : ownCopy(Buffer.from(pcr10, 'hex')) }, imaJudgedBy: judgedBy }
}

const texts = z.array(z.string())
/** What an enrolment must have to be worked with; whoever else wrote into the database is found here. */
const enrolment = z.looseObject({
  agentId: z.string(),
  ip: z.string(),
  port: z.number(),
  tpmPolicy: z.string(),
  runtimePolicy: z.string().nullable(),
  mbPolicy: z.string().nullable(),
  metaData: z.string(),
  revocationKey: z.string(),
  accepted: z.object({ hash: texts, encryption: texts, signing: texts }),
  ak: z.string(),
  mtlsCertificate: z.string().nullable(),
})

const algorithm = z.string()
/** The same for what changes: a failure without an id would be shown to nobody, and the list of all agents with it. */
const state = z.object({
  announcedSeverity: z.number().nullable(),
  failures: z.array(
    z.looseObject({
      eventId: z.string(),
      recoverable: z.boolean().optional(),
      context: z.looseObject({}).optional(),
      severity: z.number().optional(),
    }),
  ),
  v: z.string().nullable(),
  vState: z.enum(['none', 'held', 'releasing', 'delivered', 'withheld']),
  vReleasedTo: z.string().nullable(),
  transportKey: z.string().nullable(),
  supportedVersion: z.string().regex(/^\d+\.\d+$/),
  algorithms: z.object({ hash: algorithm, encryption: algorithm, signing: algorithm }).nullable(),
})
const counters = z.object({
  attestationCount: z.number(),
  lastReceivedQuote: z.number(),
  lastSuccessfulAttestation: z.number(),
  ima: z.object({ nextEntry: z.number().int().min(0), bootTime: z.number(), learned: z.string() }),
})

/** Of the row of its mailbox; null where there is none. */
export interface DeliveryRow {
  delivery: string | null
  generation: number | null
  ordered_at: number | null
  report: string | null
  is_kept: number | null
}

/** A row of `agents`, its counters, and its mailbox; null where there are none. */
export type RecordRow = StateRow & { agent_id: string; enrolment: string } & DeliveryRow & {
    [K in keyof Omit<ProgressRow, 'agent_id'>]: ProgressRow[K] | null
  }

/** A report that cannot be read is none: the machine says it again. */
function decodeDelivery({ delivery: enrolment, generation, ordered_at: orderedAt, report, is_kept }: DeliveryRow): StoredDelivery | null {
  if (enrolment === null || generation === null || orderedAt === null) return null
  const { data } = deliveryReport.safeParse(report === null ? null : JSON.parse(report))
  return { enrolment, generation, orderedAt, isKept: is_kept === 1, report: data ?? null }
}

/** Never throws: a record that cannot be read is one with a defect. */
export function readRecord(row: RecordRow): StoredRecord {
  const agentId = row.agent_id
  try {
    if (!isOperationalState(row.operational_state)) throw new Error(`state ${row.operational_state} is not known`)
    if (row.attestation_count === null) throw new Error('its counters are missing')
    const record = enrolment.parse(JSON.parse(row.enrolment)) as unknown as Enrolment
    if (record.agentId !== agentId) throw new Error('it is the enrolment of another id')
    const agent = { enrolment: record, state: decodeState(row), progress: decodeProgress(row as never), delivery: decodeDelivery(row) }
    state.parse(agent.state)
    counters.parse(agent.progress)
    return { agentId, agent }
  } catch (error) {
    return { agentId, defect: `the stored record cannot be read: ${(error as Error).message.slice(0, 500)}` }
  }
}
