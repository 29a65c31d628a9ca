import { parseAgentId } from '../../../core/api/agent-id.ts'
import { parseMessage } from '../../../core/api/parse-message.ts'
import { type RegistrationChallenge, registrationRequest } from '../../../core/api/registrar.ts'
import { isKeylimeError, KeylimeError } from '../../../core/errors.ts'
import { judgeRegistration } from '../../../core/identity/judge-registration.ts'
import { makeCredential } from '../../../core/tpm/make-credential.ts'
import type { Route } from '../../../io/http/route.ts'
import { randomAlphanumeric, randomBytes } from '../../../io/random.ts'
import type { RegistrarContext } from './registrar-context.ts'

const CHALLENGE_LIFETIME_MS = 5 * 60_000
const MAX_PENDING = 50_000
const SECRET_CHARACTERS = 32

/**
 * `POST /v2.x/agents/:id`: challenges the TPM (protocol 2.6, 2.9). The registration stands beside an active one until the TPM has answered,
 * so that nobody without that TPM can displace, disable or delete it.
 */
export function registerAgent(context: RegistrarContext): Route['handle'] {
  return async ({ params, body, remoteAddress }) => {
    const agentId = parseAgentId(params['id'] ?? String((body as { agent_id?: unknown } | undefined)?.agent_id ?? ''))
    const request = parseRequest(body)
    const now = context.clock.now()
    return context.agentLock.take(agentId, async () => {
      const known = await context.store.find(agentId)
      const judged = judgeRegistration(agentId, request, known, { ...context.rules, store: context.makerCertificates(), now })
      for (const warning of judged.warnings) context.logger.warn(`agent ${agentId}: ${warning}`)
      await makeRoom(context, now)
      const secret = Buffer.from(randomAlphanumeric(SECRET_CHARACTERS), 'ascii')
      await context.store.putPending({ record: judged.record, secret, expiresAt: now + CHALLENGE_LIFETIME_MS })
      context.logger.info(`agent ${agentId} asks to be registered`, { from: remoteAddress, regcount: judged.record.regcount })
      const blob = makeCredential({ ek: judged.ek, akName: judged.ak.name, secret, random: randomBytes })
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

/** Pending registrations are bounded: a flood of them can fill neither the disk nor the table for good. */
async function makeRoom(context: RegistrarContext, now: number): Promise<void> {
  if ((await context.store.countPending()) < MAX_PENDING) return
  await context.store.dropExpired(now)
  if ((await context.store.countPending()) >= MAX_PENDING)
    throw new KeylimeError('too_many_requests', 'too many registrations wait for their proof')
}
