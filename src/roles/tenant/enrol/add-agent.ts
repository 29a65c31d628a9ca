import type { IdentityQuote } from '../../../core/api/identity-quote.ts'
import type { EnrolmentRequest } from '../../../core/api/verifier.ts'
import { isKeylimeError, KeylimeError } from '../../../core/errors.ts'
import { authTag } from '../../../core/payload/auth-tag.ts'
import { encryptShare } from '../../../core/payload/transport.ts'
import { parsePublicArea } from '../../../core/tpm/public-area.ts'
import { randomAlphanumeric } from '../../../io/random.ts'
import { type PolicyFields, policyFields } from '../policies/policy-fields.ts'
import { AgentService } from '../services/agent-service.ts'
import type { TenantContext } from '../tenant-context.ts'
import { deleteFromVerifier } from './delete-agent.ts'
import { checkEk } from './ek-check.ts'
import { type FoundAgent, findAgent } from './find-agent.ts'
import { followDelivery } from './follow-delivery.ts'
import { judgeIdentityQuote } from './identity-quote.ts'
import { proveKey } from './prove-key.ts'
import { withRetries } from './retries.ts'
import { checkPayloadOptions, collectPayload, type Payload } from './seal-payload.ts'
import { waitForVerdict, waitUntilKnown } from './wait-for-verdict.ts'

const NONCE_LENGTH = 20
const DEFAULT_AGENT_PORT = 9002

interface Target {
  readonly found: FoundAgent
  readonly host: string
  readonly port: number
  readonly pin: string | null
}

/**
 * `add`: finds the agent, has its TPM prove itself, hands U and the payload to the agent and V to the verifier, and waits for the verdict. No share leaves
 * before quote, transport key and EK were judged good (protocol 3.2 to 3.7). `update` is the same and replaces what the verifier has, but only after those checks.
 */
export async function addAgent(context: TenantContext, mode: 'add' | 'update'): Promise<Enrolled> {
  const { options, report } = context
  checkPayloadOptions(options)
  const policies = await policyFields(context)
  context.verifier.warmUp()
  report({ type: 'working', text: 'looking for the agent at the registrar' })
  const target = agentTarget(context, await findAgent(context))
  const { agentId } = target.found
  report({
    type: 'agent_found',
    agentId,
    host: target.host,
    port: target.port,
    by: target.found.by,
    regcount: target.found.registered.regcount ?? 1,
  })
  const [payload, known] = await both(collectPayload(context, agentId), context.verifier.agent(agentId))
  if (known && mode === 'add') throw alreadyThere(agentId)
  const session = options.pushModel ? undefined : await proveIdentity(context, target)
  if (mode === 'update' && known) await deleteFromVerifier(context, agentId)
  if (session && payload) await sendShare(context, session, agentId, payload)
  await enrol(context, target, session?.agent.version ?? '', policies, payload)
  if (session && options.wait) await waitForVerdict(context, agentId, payload !== undefined)
  const proved = session !== undefined && payload !== undefined && (options.verify === true || options.wait)
  if (proved) {
    await proveKey(context, session.agent, agentId, payload.k)
    if (options.wait) await followDelivery(context, session.agent, agentId) // upstream's tenant does not know of it
  }
  return { agentId, attested: session !== undefined && options.wait, delivered: proved }
}

/** What became of an enrolment; the rest was thrown. */
export interface Enrolled {
  readonly agentId: string
  /** The first evidence was judged good. */
  readonly attested: boolean
  /** The agent proved that it derived the key. */
  readonly delivered: boolean
}

/** Both results; when one fails, the other is waited for all the same, so that nothing goes on behind an error that was already told. */
async function both<A, B>(one: Promise<A>, other: Promise<B>): Promise<[A, B]> {
  await Promise.allSettled([one, other])
  return [await one, await other]
}

function agentTarget(context: TenantContext, found: FoundAgent): Target {
  const { registered } = found
  const host = context.options.targetHost || registered.ip
  const port = context.options.targetPort ?? registered.port ?? DEFAULT_AGENT_PORT
  if (!host) {
    throw new KeylimeError('usage', `the registrar has no address for agent ${found.agentId}`, {
      hint: 'give it with -t, or set contact_ip in its agent.conf',
    })
  }
  return { found, host, port, pin: context.options.pushModel ? null : pinOf(context, found) }
}

/** The certificate to which the connection is pinned, or null for plain HTTP when that is allowed. */
function pinOf(context: TenantContext, { agentId, registered }: FoundAgent): string | null {
  const certificate = registered.mtls_cert
  if (certificate && certificate !== 'disabled') return certificate
  if (context.config.enable_agent_mtls) {
    throw new KeylimeError('refused', `agent ${agentId} has no certificate for mutual TLS`, {
      hint: 'set enable_agent_mtls = true in its agent.conf (or, only for tests, enable_agent_mtls = False in tenant.conf)',
    })
  }
  context.report({ type: 'warning', text: `agent ${agentId} is spoken to without TLS` })
  return null
}

interface Session {
  readonly agent: AgentService
  readonly reply: IdentityQuote
}

async function proveIdentity(context: TenantContext, target: Target): Promise<Session> {
  const { config, options, report } = context
  const { agentId, registered } = target.found
  report({ type: 'working', text: `asking the agent's TPM for an identity quote` })
  const client = context.openAgent(target.host, target.port, target.pin)
  const session = await withRetries(context, `agent ${agentId}`, async () => {
    const agent = await AgentService.connect(client, options.agentApiVersion ?? '')
    const nonce = randomAlphanumeric(NONCE_LENGTH)
    const response = await agent.get('/quotes/identity', { nonce })
    if (response.status === 503 || response.status === 504) throw new KeylimeError('unavailable', `the agent answered ${response.status}`)
    if (response.status !== 200)
      throw new KeylimeError('refused', `the agent gave no quote (${response.status}${response.message ? `: ${response.message}` : ''})`, {
        hint: 'see the agent’s log',
      })
    const ak = parsePublicArea(Buffer.from(registered.aik_tpm, 'base64'))
    const accepted = {
      hash: config.accept_tpm_hash_algs,
      encryption: config.accept_tpm_encryption_algs,
      signing: config.accept_tpm_signing_algs,
    }
    return { agent, reply: judgeIdentityQuote(response.results, { ak, nonce, accepted }) }
  })
  report({ type: 'quote_verified', agentId, host: target.host, port: target.port, reply: session.reply })
  if ((registered.regcount ?? 1) > 1)
    report({
      type: 'warning',
      text: `agent ${agentId} has registered ${registered.regcount} times: usual after reinstalling, otherwise a sign of another agent under this id`,
    })
  await checkEk(context, agentId, registered)
  return session
}

async function sendShare(context: TenantContext, { agent, reply }: Session, agentId: string, payload: Payload): Promise<void> {
  context.report({ type: 'working', text: 'sending the payload and the first key share to the agent' })
  const response = await agent.post('/keys/ukey', {
    encrypted_key: encryptShare(reply.pubkey, payload.u),
    auth_tag: authTag(payload.k, agentId),
    ...(payload.sealed === undefined ? {} : { payload: payload.sealed }),
  })
  if (response.status !== 200) {
    throw new KeylimeError(
      'refused',
      `the agent did not take the key share (${response.status}${response.message ? `: ${response.message}` : ''})`,
      { hint: 'see the agent’s log' },
    )
  }
  context.report({ type: 'share_sent', payloadBytes: payload.sealed?.length ?? 0 })
}

async function enrol(
  context: TenantContext,
  target: Target,
  version: string,
  policies: PolicyFields,
  payload: Payload | undefined,
): Promise<void> {
  const { config, verifierAddress, report } = context
  const { agentId, registered } = target.found
  const request: EnrolmentRequest = {
    v: payload ? payload.v.toString('base64') : null,
    cloudagent_ip: context.options.cvTargetHost || target.host,
    cloudagent_port: target.port,
    verifier_ip: verifierAddress.host,
    verifier_port: verifierAddress.port,
    ...policies,
    metadata: payload?.metadata ?? '{}',
    revocation_key: payload?.revocationKey ?? '',
    accept_tpm_hash_algs: config.accept_tpm_hash_algs,
    accept_tpm_encryption_algs: config.accept_tpm_encryption_algs,
    accept_tpm_signing_algs: config.accept_tpm_signing_algs,
    ak_tpm: registered.aik_tpm,
    mtls_cert: registered.mtls_cert ?? null,
    supported_version: version || '2.6',
  }
  report({ type: 'working', text: 'handing the second key share and the policy to the verifier' })
  let tries = 0
  await withRetries(context, 'verifier', async () => {
    tries++
    const warnings = await context.verifier.enrol(agentId, request).catch((error) => {
      if (tries > 1 && isKeylimeError(error) && error.code === 'already_exists') return [] // an earlier try whose answer was lost
      throw error
    })
    for (const text of warnings) report({ type: 'warning', text })
  })
  const status = context.options.wait ? undefined : await waitUntilKnown(context, agentId)
  if (status) report({ type: 'enrolled_status', agentId, status })
  report({ type: 'enrolled', agentId, tries })
}

function alreadyThere(agentId: string): KeylimeError {
  return new KeylimeError('already_exists', `the verifier already has agent ${agentId}`, {
    hint: 'use `keylime tenant update` to enrol it anew, or delete it first',
  })
}
