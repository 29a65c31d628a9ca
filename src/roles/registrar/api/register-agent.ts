import { parseAgentId } from '../../../core/api/agent-id.ts'
import { parseMessage } from '../../../core/api/parse-message.ts'
import { type RegistrationChallenge, registrationRequest } from '../../../core/api/registrar.ts'
import { isKeylimeError, KeylimeError } from '../../../core/errors.ts'
import { checkSameTpm, judgeRegistration } from '../../../core/identity/judge-registration.ts'
import { registrationTag } from '../../../core/payload/auth-tag.ts'
import { makeCredential } from '../../../core/tpm/make-credential.ts'
import { peerNetwork } from '../../../io/http/peer-network.ts'
import type { Route } from '../../../io/http/route.ts'
import { randomAlphanumeric, randomBytes } from '../../../io/random.ts'
import { answerDigest, checkOtherIds } from './activate-agent.ts'
import { checkAdmission } from './admission.ts'
import type { RegistrarContext } from './registrar-context.ts'
import { checkRevoked } from './revocation-marks.ts'

const CHALLENGE_LIFETIME_MS = 5 * 60_000
const SECRET_CHARACTERS = 32

/**
 * `POST /v2.x/agents/:id`: challenges the TPM (protocol 2.6, 2.9). The registration stands beside an active one, and beside all others that wait, until the TPM
 * has answered, so that nobody without that TPM can displace, disable or delete any of them.
 */
export function registerAgent(context: RegistrarContext): Route['handle'] {
  const { store, clock, logger } = context
  return async ({ params, body, remoteAddress }) => {
    const agentId = parseAgentId(params['id'] ?? String((body as { agent_id?: unknown } | undefined)?.agent_id ?? ''))
    const request = parseRequest(body)
    const now = clock.now()
    return context.agentLock.take(agentId, async () => {
      const rules = { ...context.rules, store: context.makerCertificates(), now }
      const { record, tpm, ek, ak, warnings } = judgeRegistration(agentId, request, rules)
      const known = await store.lookUp(tpm)
      checkSameTpm(record, known.record)
      checkRevoked(context, tpm, known)
      checkOtherIds(context, tpm, known)
      checkAdmission(context, { tpm, known, isRegistered: known.record !== null })
      for (const warning of warnings) logger.warn(`agent ${agentId}: ${warning}`)
      const secret = Buffer.from(randomAlphanumeric(SECRET_CHARACTERS), 'ascii')
      const answer = answerDigest(registrationTag(secret, agentId))
      const blob = makeCredential({ ek, akName: ak.name, secret, random: randomBytes })
      await store.putPending({ record, tpm, answer, network: peerNetwork(remoteAddress), expiresAt: now + CHALLENGE_LIFETIME_MS }, now)
      logger.info(`agent ${agentId} asks to be registered`, { from: remoteAddress, regcount: (known.record?.regcount ?? 0) + 1 })
      return { results: { blob: blob.toString('base64') } satisfies RegistrationChallenge }
    })
  }
}

function parseRequest(body: unknown) {
  try {
    return parseMessage(registrationRequest, body, 'the registration')
  } catch (error) {
    if (!isKeylimeError(error)) throw error
    throw new KeylimeError(error.code, `Could not register agent with invalid data: ${error.message}`)
  }
}
