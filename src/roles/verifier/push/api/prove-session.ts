import { parseAgentId } from '../../../../core/api/agent-id.ts'
import { parseMessage } from '../../../../core/api/parse-message.ts'
import { type SessionExtensions, type SessionProof, sessionProof, TPM_POP } from '../../../../core/api/push/session.ts'
import { type RateLimit, RateLimiter } from '../../../../core/concurrency/rate-limiter.ts'
import { certifyDefect } from '../../../../core/quote/verify-certify.ts'
import type { PublicArea } from '../../../../core/tpm/public-area.ts'
import { peerNetwork } from '../../../../io/http/peer-network.ts'
import type { ApiReply, Route } from '../../../../io/http/route.ts'
import type { PushContext } from '../push-context.ts'
import type { PendingSession } from '../sessions.ts'
import { isAsked } from './admission.ts'
import { refusal, timeText } from './json-api-reply.ts'

type Used = Pick<PushContext, 'agents' | 'clock' | 'commands' | 'leasing' | 'logger' | 'push'>

/** Lines about proofs that do not count: whoever tries many must not fill the log. */
const TOLD: RateLimit = { ofPeer: { perSecond: 0.1, burst: 10 }, ofAll: { perSecond: 1, burst: 60 } }

/**
 * `PATCH /v3.0/sessions/:session`: the machine's TPM has certified the enrolled attestation key by that key, over the challenge. Any other key, scheme or challenge is a failed proof,
 * and the session is gone. Connections end with a failed proof: who tries many pays a handshake for each, and spends nothing of anybody else.
 */
export function proveSession({ agents, clock, commands, leasing, logger, push }: Used): Route['handle'] {
  const limiter = new RateLimiter(TOLD)
  return async ({ params, body, remoteAddress }) => {
    const { data } = parseMessage(sessionProof, body, 'the proof')
    const agentId = parseAgentId(data.attributes.agent_id)
    const session = push.sessions.take(params['session']!, agentId)
    if (session === null) return refusal([{ status: 404, code: 'not_found', detail: 'there is no such session, or it was tried before' }])
    const echo = echoOf({ data, session, agentId, receivedAt: clock.now() })
    const ak = agents.get(agentId)?.ak ?? (await leasing.strangerAk(agentId))
    if (!ak || session.hasExpired) return failedProof(echo, 200)
    const defect = proofDefect(ak, data.attributes, session)
    if (defect) {
      const isTold = limiter.take(peerNetwork(remoteAddress), clock.monotonic()) === 0
      logger[isTold ? 'info' : 'debug'](`agent ${agentId} did not prove that it has its attestation key: ${defect}`, {
        from: remoteAddress,
      })
      return failedProof(echo, 401)
    }
    // Only who proved himself is taken from the verifier that attested him before.
    const agent = agents.get(agentId) ?? (await commands.take(agentId, async () => agents.get(agentId)))
    // An operator may have enrolled another key meanwhile: a token speaks for the one that was proved.
    if (!agent?.ak.name.equals(ak.name)) return failedProof(echo, 200)
    if (agent.connection) return refusal([{ status: 403, code: 'agent_attestations_disabled', detail: isAsked(agent.enrolment) }])
    const { token, expiresAt } = push.sessions.grant(session.id, agentId)
    const good = { evaluation: 'pass', token, token_expires_at: timeText(expiresAt), extensions: extensionsOf(push) }
    return { ...reply(200, echo, good), provedMachine: agentId }
  }
}

/** What this verifier does beyond API 3.0: agents of upstream pass over it. */
function extensionsOf({ longestWait }: PushContext['push']): SessionExtensions {
  const wait = Math.floor(longestWait)
  return { delivery: 1, ...(wait >= 1 ? { wait } : {}) }
}

type Attributes = SessionProof['data']['attributes']

function proofDefect(ak: PublicArea, { authentication_provided }: Attributes, { challenge }: PendingSession): string | undefined {
  const { data } = authentication_provided[0]!
  return certifyDefect({
    signer: ak,
    subjectName: ak.name,
    attest: Buffer.from(data.message, 'base64'),
    signature: Buffer.from(data.signature, 'base64'),
    qualifyingData: [challenge],
  })
}

interface Tried {
  data: SessionProof['data']
  session: PendingSession
  agentId: string
  receivedAt: number
}

interface Echo {
  id: string
  attributes: Record<string, unknown>
}

/** What agents want to read back. */
function echoOf({ data, session, agentId, receivedAt }: Tried): Echo {
  const challenge = session.challenge.toString('base64')
  const { message, signature } = data.attributes.authentication_provided[0]!.data
  return {
    id: session.id,
    attributes: {
      agent_id: agentId,
      authentication: [{ ...TPM_POP, chosen_parameters: { challenge }, data: { message, signature } }],
      created_at: timeText(session.createdAt),
      challenges_expire_at: timeText(session.expiresAt),
      response_received_at: timeText(receivedAt),
    },
  }
}

const failedProof = (echo: Echo, status: 200 | 401): ApiReply => ({
  ...reply(status, echo, { evaluation: 'fail', token_expires_at: null }),
  headers: { Connection: 'close' },
})

const reply = (status: number, { id, attributes }: Echo, more: Record<string, unknown>): ApiReply => ({
  status,
  raw: { type: 'application/json', body: JSON.stringify({ data: { type: 'session', id, attributes: { ...attributes, ...more } } }) },
})
