import type { Route } from '../../../io/http/route.ts'
import { findAgent } from './find-agent.ts'
import type { VerifierContext } from './verifier-context.ts'

/** `PUT /v2.x/agents/:id/reactivate`: attests again from the beginning. A V that was confirmed is not given a second time. */
export function reactivateAgent(context: VerifierContext): Route['handle'] {
  return async ({ params }) => {
    const agent = findAgent(context, params)
    await context.loop.command(agent, { type: 'reactivated' })
    context.logger.info(`agent ${agent.enrolment.agentId} was reactivated`)
    return {}
  }
}
