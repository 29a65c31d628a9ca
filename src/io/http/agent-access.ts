import type { IncomingHttpHeaders } from 'node:http'
import type { ApiReply } from './route.ts'

const BEARER = /^Bearer ([\w.~+/-]{1,256}=*)$/i

/**
 * Whether the token of a request is that of the agent in its path. @param agentOf whose token it is; null for none that counts. @returns the refusal: 401 where another token
 * can help, 403 where it cannot; null for none.
 */
export function refusedAgent(
  { authorization }: Pick<IncomingHttpHeaders, 'authorization'>,
  agentId: string | undefined,
  agentOf: ((token: string) => string | null) | undefined,
): ApiReply | null {
  const token = BEARER.exec(authorization ?? '')?.[1]
  const owner = token === undefined ? null : (agentOf?.(token) ?? null)
  if (owner === null)
    return refusal(401, 'Unauthorized', token === undefined ? 'a token of a session is needed' : 'the token is not known, or has expired')
  return owner === agentId ? null : refusal(403, 'Forbidden', 'the token is that of another agent')
}

const refusal = (status: 401 | 403, title: string, detail: string): ApiReply => ({
  status,
  message: detail,
  headers: status === 401 ? { 'WWW-Authenticate': 'Bearer' } : {},
  raw: { type: 'application/vnd.api+json', body: JSON.stringify({ errors: [{ status: String(status), title, detail }] }) },
})
