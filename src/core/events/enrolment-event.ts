import { createHash } from 'node:crypto'
import { hostPort } from '../api/host-port.ts'
import { comesBy, type StoredAgent } from '../attestation/stored-agent.ts'
import type { PolicyRef } from '../explanation/failed-round.ts'
import type { EventOf, Operator } from './verifier-event.ts'

export interface EnrolmentFacts {
  agent: Pick<StoredAgent, 'enrolment' | 'state'>
  refs: { runtime: PolicyRef | null; mb: PolicyRef | null }
  /** Dangers of its policies that the operator was warned of. */
  warnings: number
  operator: Operator
}

/** What an operator enrolled, or changed of it: by which policies the machine is judged, never the keys. */
export function enrolmentEvent<T extends 'agent_enrolled' | 'agent_updated'>(type: T, facts: EnrolmentFacts): EventOf<T> {
  const { enrolment, state } = facts.agent
  return {
    type,
    agent_id: enrolment.agentId,
    address: comesBy(enrolment) === 'push' ? 'push' : hostPort(enrolment.ip, enrolment.port),
    operator: facts.operator,
    runtime_policy: facts.refs.runtime,
    mb_policy: facts.refs.mb,
    tpm_policy_sha256: createHash('sha256').update(enrolment.tpmPolicy).digest('hex'),
    has_v: state.v !== null,
    warnings: facts.warnings,
  } as EventOf<T>
}
