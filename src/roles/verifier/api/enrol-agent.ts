import { parseAgentId } from '../../../core/api/agent-id.ts'
import { hostPort } from '../../../core/api/host-port.ts'
import { parseMessage } from '../../../core/api/parse-message.ts'
import { type EnrolmentRequest, enrolmentRequest } from '../../../core/api/verifier.ts'
import type { Enrolment } from '../../../core/attestation/stored-agent.ts'
import { KeylimeError } from '../../../core/errors.ts'
import { parseKeyring } from '../../../core/ima/keyring.ts'
import { parseTpmPolicy } from '../../../core/policy/tpm-policy.ts'
import { akDefects, parsePublicArea } from '../../../core/tpm/public-area.ts'
import type { PolicyKind } from '../../../io/db/policy-store.ts'
import { pinOf } from '../../../io/http/pinned-connector.ts'
import type { Route } from '../../../io/http/route.ts'
import { newAgent } from '../agents/agent-opener.ts'
import type { VerifierContext } from './verifier-context.ts'

const CURRENT = '2.6'
const KNOWN = /^2\.[0-6]$/

/** `POST /v2.x/agents/:id`: everything is checked, then the agent is stored, then it is asked for its first quote (protocol 3.6). */
export function enrolAgent(context: VerifierContext): Route['handle'] {
  return async ({ params, body }) => {
    const agentId = parseAgentId(params['id']!)
    const request = parseMessage(enrolmentRequest, body, 'the enrolment')
    if (context.agents.get(agentId)) throw alreadyThere(agentId)
    const mtlsCertificate = agentCertificate(request, context.settings.agentMtls)
    checkKeys(request)
    const runtime = {
      name: request.runtime_policy_name,
      content: decodeText(request.runtime_policy),
      key: decodeText(request.runtime_policy_key ?? ''),
    }
    const runtimePolicy = await choosePolicy(context, 'runtime', agentId, runtime)
    const mbPolicy = await choosePolicy(context, 'mb', agentId, { name: request.mb_policy_name, content: request.mb_policy ?? '', key: '' })
    const enrolment = enrolmentOf(context, agentId, request, { runtimePolicy, mbPolicy, mtlsCertificate })
    const policy = await context.policies.policyOf(enrolment)
    const stored = newAgent(enrolment, request.v || null, KNOWN.test(request.supported_version) ? request.supported_version : CURRENT)
    if (!(await context.store.insert(enrolment, stored.state))) throw alreadyThere(agentId)
    const agent = context.opener.open(stored, policy)
    context.agents.add(agent)
    await context.loop.begin(agent, 0)
    context.logger.info(`agent ${agentId} at ${hostPort(enrolment.ip, enrolment.port)} was added`, {
      runtimePolicy,
      mbPolicy,
      tpmPolicy: enrolment.tpmPolicy,
    })
    return policy.dangers.length > 0 ? { results: { warnings: policy.dangers } } : {}
  }
}

const alreadyThere = (agentId: string) =>
  new KeylimeError('already_exists', `Agent of uuid ${agentId} already exists`, { hint: 'use "keylime tenant update", or delete it first' })

function agentCertificate(request: EnrolmentRequest, required: boolean): string | null {
  const certificate = request.mtls_cert && request.mtls_cert !== 'disabled' ? request.mtls_cert : null
  if (certificate) pinOf(certificate)
  if (!certificate && required && request.supported_version !== '1.0')
    throw new KeylimeError('invalid_request', 'mTLS certificate for agent is required!')
  return certificate
}

function checkKeys(request: EnrolmentRequest): void {
  const defects = akDefects(parsePublicArea(Buffer.from(request.ak_tpm, 'base64')))
  if (defects.length > 0) throw new KeylimeError('invalid_request', `ak_tpm is not an attestation key: ${defects.join(', ')}`)
  if (request.v && ![16, 32].includes(Buffer.from(request.v, 'base64').length))
    throw new KeylimeError('invalid_request', 'v is not a key share of 16 or 32 bytes')
  parseKeyring(request.ima_sign_verification_keys ?? '', 'ima_sign_verification_keys')
  parseTpmPolicy(request.tpm_policy)
}

function decodeText(base64: string): string {
  return base64 === '' ? '' : Buffer.from(base64, 'base64').toString('utf8')
}

/** Upstream's four cases of name and content (protocol 3.6). @returns the name under which the policy is stored; null for none. */
async function choosePolicy(context: VerifierContext, kind: PolicyKind, agentId: string, given: GivenPolicy): Promise<string | null> {
  const { name, content, key } = given
  if (!content) {
    if (!name) return null
    if (!(await context.policies.find(kind, name))) throw new KeylimeError('policy_not_found', `there is no policy named ${name}`)
    return name
  }
  if (name && (await context.policies.find(kind, name))) throw new KeylimeError('conflict', `a policy named ${name} exists already`)
  await context.policies.put(kind, name || agentId, content, key || null)
  return name || agentId
}

interface GivenPolicy {
  name: string | null | undefined
  content: string
  /** PEM that a signed policy is verified with; empty: none. */
  key: string
}

function enrolmentOf(
  context: VerifierContext,
  agentId: string,
  request: EnrolmentRequest,
  chosen: { runtimePolicy: string | null; mbPolicy: string | null; mtlsCertificate: string | null },
): Enrolment {
  return {
    agentId,
    verifierId: context.settings.verifierId,
    ip: request.cloudagent_ip,
    port: request.cloudagent_port,
    verifierIp: request.verifier_ip ?? '',
    verifierPort: request.verifier_port ?? 0,
    tpmPolicy: request.tpm_policy || '{}',
    imaKeys: request.ima_sign_verification_keys ?? '',
    metaData: request.metadata || '{}',
    revocationKey: request.revocation_key ?? '',
    accepted: {
      hash: request.accept_tpm_hash_algs,
      encryption: request.accept_tpm_encryption_algs,
      signing: request.accept_tpm_signing_algs,
    },
    ak: request.ak_tpm,
    ...chosen,
  }
}
