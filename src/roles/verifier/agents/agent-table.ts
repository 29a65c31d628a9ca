import type { ManagedAgent } from './managed-agent.ts'

/** The agents of this verifier, by id. */
export interface AgentTable {
  get(agentId: string): ManagedAgent | undefined
  add(agent: ManagedAgent): void
  remove(agentId: string): void
  all(): Iterable<ManagedAgent>
  readonly size: number
}

export function createAgentTable(): AgentTable {
  const agents = new Map<string, ManagedAgent>()
  return {
    get: (agentId) => agents.get(agentId),
    add: (agent) => void agents.set(agent.enrolment.agentId, agent),
    remove: (agentId) => void agents.delete(agentId),
    all: () => agents.values(),
    get size() {
      return agents.size
    },
  }
}
