import type { AuthorityIntroduction } from '../../../core/api/authority-introduction.ts'
import { readEnvelope, SHORT_ANSWER_BYTES } from '../../../core/api/envelope.ts'
import { isTryAgain } from '../agents/agent-answers.ts'
import type { ManagedAgent } from '../agents/managed-agent.ts'

/** The authorities that count for the verifier; null while they are the operator's own to hand out. */
export interface AuthorityHolder {
  current: AuthorityIntroduction | null
}

/**
 * Hands an agent the authorities that count, over mutual TLS: agents of ours take the next one when the one before has vouched for it, others know no such thing.
 * @returns false when it is to be said again. @throws KeylimeError when the agent does not answer.
 */
export async function introduceAuthority(agent: ManagedAgent, body: AuthorityIntroduction): Promise<boolean> {
  const path = `/v${agent.state.supportedVersion}/notifications/authority`
  const { code } = readEnvelope(await agent.connection.request({ method: 'POST', path, body, maxBytes: SHORT_ANSWER_BYTES }))
  return !isTryAgain(code)
}
