import type { ApiRequest, Route } from '../../../io/http/route.ts'
import type { AgentContext } from './agent-context.ts'
import { getIdentityQuote, getIntegrityQuote } from './give-quotes.ts'
import { getInfo, getVersion } from './show-info.ts'
import { postAuthority } from './take-authority.ts'
import { getKeyProof, getTransportKey, postUserKey, postVerifierKey } from './take-key-shares.ts'
import { getRevocationOutcome, postNotifier, postRevocation } from './take-revocation.ts'
import { postSealed } from './take-sealed.ts'

/** A notification that waits has at most 64 KiB, which JSON's escapes may double; what is longer is told so, up to here. */
const NOTIFICATION_BYTES = 192 << 10
const AUTHORITIES_BYTES = 96 << 10

/** The agent's API (protocol 5.1). The listener demands a client certificate for every one of these. @param maxPayloadBody bytes of a request with a payload. */
export function agentRoutes(context: AgentContext, maxPayloadBody: number): Route[] {
  const route = (method: Route['method'], path: string, handle: Route['handle'], maxBytes?: number): Route => ({
    method,
    path,
    access: 'peer',
    handle,
    ...(maxBytes ? { body: { maxBytes } } : {}),
  })
  const ofOperators = (of: Route): Route => ({ ...of, access: 'operator' })
  return [
    route('GET', '/version', () => getVersion(context)),
    route('GET', '/v:version/agent/info', (request) => getInfo(context, request.version)),
    route('GET', '/v:version/quotes/identity', (request: ApiRequest) => getIdentityQuote(context, request)),
    route('GET', '/v:version/quotes/integrity', (request) => getIntegrityQuote(context, request)),
    route('GET', '/v:version/keys/pubkey', () => getTransportKey(context)),
    route('GET', '/v:version/keys/verify', (request) => getKeyProof(context, request)),
    ofOperators(route('POST', '/v:version/keys/ukey', (request) => postUserKey(context, request), maxPayloadBody)),
    route('POST', '/v:version/keys/sealed', (request) => postSealed(context, request), maxPayloadBody),
    route('POST', '/v:version/keys/vkey', (request) => postVerifierKey(context, request)),
    route('GET', '/v:version/notifications/revocation', (request) => getRevocationOutcome(context, request)),
    route('POST', '/v:version/notifications/notifier', (request) => postNotifier(context, request)),
    route('POST', '/v:version/notifications/authority', (request) => postAuthority(context, request), AUTHORITIES_BYTES),
    route('POST', '/v:version/notifications/revocation', (request) => postRevocation(context, request), NOTIFICATION_BYTES),
  ]
}
