import { OPERATIONAL_STATE } from '../../../core/attestation/operational-state.ts'
import type { StoredRecord } from '../../../core/attestation/stored-agent.ts'
import type { VerifierContext } from './verifier-context.ts'

type Used = Pick<VerifierContext, 'agents' | 'loop' | 'policies' | 'push'>

/** How an enrolment stood when it ended, for events. */
export interface Stood {
  readonly operational_state: number
  readonly v_state: string
}

export interface Ended<T> {
  readonly value: T
  readonly stood: Stood
}

const UNREADABLE = { operational: OPERATIONAL_STATE.FAILED, vState: 'none' } as const

/**
 * Takes an agent out of the store by `end`, and then out of memory: a round under way is forgotten, a policy of the agent's own goes with it. When `end` throws,
 * it is attested as before.
 */
export async function endEnrolment<T>(
  { agents, loop, policies, push }: Used,
  record: StoredRecord,
  end: (stood: Stood) => Promise<T>,
): Promise<Ended<T>> {
  const { agentId } = record
  const agent = agents.get(agentId)
  if (agent) await loop.pause(agent)
  const { operational, vState } = agent?.state ?? ('agent' in record ? record.agent.state : UNREADABLE)
  const stood: Stood = { operational_state: operational, v_state: vState }
  let value: T
  try {
    value = await end(stood)
  } catch (error) {
    if (agent && agents.get(agentId) === agent) loop.resume(agent)
    throw error
  }
  agents.remove(agentId)
  agent?.connection?.close()
  if (agent) push.held.wake(agent)
  await policies.forgetUnused()
  return { value, stood }
}
