import type { AuthorityIntroduction } from '../../../core/api/authority-introduction.ts'
import { readEnvelope, SHORT_ANSWER_BYTES } from '../../../core/api/envelope.ts'
import type { AgentConnection } from '../../../io/http/agent-connection.ts'

/**
 * Hands an agent the authorities that count, over mutual TLS: agents of ours take the next one when the one before has vouched for it, others know no such thing.
 * @returns the code of its answer. @throws KeylimeError when the agent does not answer.
 */
export async function introduceAuthority(connection: AgentConnection, version: string, body: AuthorityIntroduction): Promise<number> {
  const path = `/v${version}/notifications/authority`
  return readEnvelope(await connection.request({ method: 'POST', path, body, maxBytes: SHORT_ANSWER_BYTES })).code
}
