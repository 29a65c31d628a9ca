import type { Route } from '../../../io/http/route.ts'
import { findAgent } from './find-agent.ts'
import type { VerifierContext } from './verifier-context.ts'

/** `PUT /v2.x/agents/:id/stop`: the tenant gave up on this agent (protocol 3.7). */
export function stopAgent(context: VerifierContext): Route['handle'] {
  return async ({ params }) => {
    const agent = findAgent(context, params)
    await context.loop.command(agent, { type: 'stopped' })
    context.logger.info(`agent ${agent.enrolment.agentId} was stopped by the tenant`)
    return {}
  }
}
