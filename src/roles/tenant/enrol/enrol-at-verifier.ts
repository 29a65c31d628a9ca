import type { AgentStatus } from '../../../core/api/agent-status.ts'
import type { EnrolmentRequest } from '../../../core/api/verifier.ts'
import { isKeylimeError, KeylimeError } from '../../../core/errors.ts'
import type { PolicyFields } from '../policies/policy-fields.ts'
import type { TenantContext } from '../tenant-context.ts'
import type { AgentTarget } from './agent-target.ts'
import type { Payload } from './collect-payload.ts'
import { deleteFromVerifier } from './delete-from-verifier.ts'
import type { JudgedMachine } from './judge-registered.ts'
import { waitUntilKnown } from './wait-for-verdict.ts'
import { withRetries } from './with-retries.ts'

/** What the verifier is to hold of one agent. */
export interface Enrolling {
  readonly target: AgentTarget
  /** The registrar's record of it was judged good. */
  readonly machine: JudgedMachine
  /** API version of the agent; empty: not asked. */
  readonly version: string
  readonly policies: PolicyFields
  readonly payload: Payload | undefined
  /** What the verifier has of the agent already, if it has. */
  readonly known: AgentStatus | undefined
}

/**
 * Hands V and the policies to the verifier (protocol 3.6): a new agent is added; one that is there is replaced, without a moment in which it is not attested
 * where the verifier can do that. @throws KeylimeError `already_exists`, and what the client throws.
 */
export async function enrolAtVerifier(context: TenantContext, enrolling: Enrolling): Promise<void> {
  const { report, options } = context
  const { agentId } = enrolling.target.found
  const request = requestOf(context, enrolling)
  report({ type: 'working', text: 'handing the second key share and the policy to the verifier' })
  let tries = 0
  await withRetries(context, 'verifier', async () => {
    tries++
    const warnings = (await replaced(context, enrolling, request)) ?? (await added(context, agentId, request, tries))
    for (const text of warnings) report({ type: 'warning', text })
  })
  const status = options.wait ? undefined : await waitUntilKnown(context, agentId)
  if (status) report({ type: 'enrolled_status', agentId, status })
  report({ type: 'enrolled', agentId, tries })
}

/** Undefined when the agent must be added: it is not there, or was deleted because this verifier cannot replace an enrolment. */
async function replaced(
  context: TenantContext,
  { known, target, payload }: Enrolling,
  request: EnrolmentRequest,
): Promise<string[] | undefined> {
  if (!known) return undefined
  const { agentId } = target.found
  const { v: _v, metadata: _metadata, revocation_key: _key, ...policies } = request
  const isOurs = known.failures !== undefined // upstream's verifier tells no failures, and replaces nothing
  const update = payload ? request : policies // without a payload, key and certificate of the one before stay
  const warnings = isOurs ? await context.verifier.update(agentId, update) : undefined
  if (warnings === undefined) await deleteFromVerifier(context, agentId)
  return warnings
}

async function added({ verifier }: TenantContext, agentId: string, request: EnrolmentRequest, tries: number): Promise<string[]> {
  return verifier.enrol(agentId, request).catch((error) => {
    if (tries > 1 && isKeylimeError(error) && error.code === 'already_exists') return [] // an earlier try whose answer was lost
    throw error
  })
}

function requestOf({ config, options, verifier }: TenantContext, { target, version, policies, payload }: Enrolling): EnrolmentRequest {
  const { registered } = target.found
  return {
    v: payload ? payload.v.toString('base64') : null,
    cloudagent_ip: options.cvTargetHost || target.host,
    cloudagent_port: target.port,
    verifier_ip: verifier.address.host,
    verifier_port: verifier.address.port,
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
}

export function alreadyThere(agentId: string): KeylimeError {
  return new KeylimeError('already_exists', `the verifier already has agent ${agentId}`, {
    hint: 'use `keylime tenant update` to enrol it anew, or delete it first',
  })
}
