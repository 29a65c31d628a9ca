import { parseAgentId } from '../../../core/api/agent-id.ts'
import { KeylimeError } from '../../../core/errors.ts'
import type { ManagedAgent } from '../agents/managed-agent.ts'
import type { VerifierContext } from './verifier-context.ts'

/** @throws KeylimeError `agent_not_found` with upstream's text. */
export function findAgent(context: VerifierContext, params: Record<string, string>): ManagedAgent {
  const agent = context.agents.get(parseAgentId(params['id']!))
  if (!agent) throw new KeylimeError('agent_not_found', 'agent id not found')
  return agent
}
