import type { EnrolmentRequest } from '../../../core/api/verifier.ts'
import { isKeylimeError, KeylimeError } from '../../../core/errors.ts'
import type { PolicyFields } from '../policies/policy-fields.ts'
import type { TenantContext } from '../tenant-context.ts'
import type { AgentTarget } from './agent-target.ts'
import type { Payload } from './collect-payload.ts'
import { waitUntilKnown } from './wait-for-verdict.ts'
import { withRetries } from './with-retries.ts'

/** What the verifier is to hold of one agent. */
export interface Enrolling {
  readonly target: AgentTarget
  /** API version of the agent; empty: not asked. */
  readonly version: string
  readonly policies: PolicyFields
  readonly payload: Payload | undefined
}

/** Hands V and the policies to the verifier (protocol 3.6). @throws KeylimeError `already_exists`, and what the client throws. */
export async function enrolAtVerifier(context: TenantContext, enrolling: Enrolling): Promise<void> {
  const { verifier, report, options } = context
  const { agentId } = enrolling.target.found
  const request = requestOf(context, enrolling)
  report({ type: 'working', text: 'handing the second key share and the policy to the verifier' })
  let tries = 0
  await withRetries(context, 'verifier', async () => {
    tries++
    const warnings = await verifier.enrol(agentId, request).catch((error) => {
      if (tries > 1 && isKeylimeError(error) && error.code === 'already_exists') return [] // an earlier try whose answer was lost
      throw error
    })
    for (const text of warnings) report({ type: 'warning', text })
  })
  const status = options.wait ? undefined : await waitUntilKnown(context, agentId)
  if (status) report({ type: 'enrolled_status', agentId, status })
  report({ type: 'enrolled', agentId, tries })
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
