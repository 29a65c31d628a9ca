import type { ApiRequest, Route } from '../../../io/http/route.ts'
import type { AgentContext } from './agent-context.ts'
import { getIdentityQuote, getIntegrityQuote } from './give-quotes.ts'
import { getInfo, getVersion } from './show-info.ts'
import { getKeyProof, getTransportKey, postUserKey, postVerifierKey } from './take-key-shares.ts'
import { postRevocation } from './take-revocation.ts'

/** The agent's API (protocol 5.1). The listener demands a client certificate for every one of these. */
export function agentRoutes(context: AgentContext): Route[] {
  const route = (method: Route['method'], path: string, handle: Route['handle']): Route => ({ method, path, access: 'peer', handle })
  return [
    route('GET', '/version', () => getVersion(context)),
    route('GET', '/v:version/agent/info', (request) => getInfo(context, request.version)),
    route('GET', '/v:version/quotes/identity', (request: ApiRequest) => getIdentityQuote(context, request)),
    route('GET', '/v:version/quotes/integrity', (request) => getIntegrityQuote(context, request)),
    route('GET', '/v:version/keys/pubkey', () => getTransportKey(context)),
    route('GET', '/v:version/keys/verify', (request) => getKeyProof(context, request)),
    route('POST', '/v:version/keys/ukey', (request) => postUserKey(context, request)),
    route('POST', '/v:version/keys/vkey', (request) => postVerifierKey(context, request)),
    route('POST', '/v:version/notifications/revocation', (request) => postRevocation(context, request)),
  ]
}
