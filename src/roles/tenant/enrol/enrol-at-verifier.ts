import type { EnrolmentRequest, EnrolmentUpdate } from '../../../core/api/verifier.ts'
import { isKeylimeError, KeylimeError } from '../../../core/errors.ts'
import type { TenantContext } from '../tenant-context.ts'
import type { Payload } from './collect-payload.ts'
import { deleteFromVerifier } from './delete-from-verifier.ts'
import type { JudgedMachine } from './judge-registered.ts'
import type { EnrolmentPlan } from './plan-enrolment.ts'
import { waitUntilKnown } from './wait-for-verdict.ts'
import { withRetries } from './with-retries.ts'

/** What the verifier is to hold of one agent. */
export interface Enrolling {
  readonly agentId: string
  /** The registrar's record of it was judged good. */
  readonly machine: JudgedMachine
  /** API version of the agent; empty: not asked. */
  readonly version: string
  readonly plan: EnrolmentPlan
  readonly payload: Payload | undefined
}

/**
 * Hands V and the policies to the verifier (protocol 3.6): a new agent is added; one that is there is changed, without a moment in which it is not attested
 * where the verifier can do that. @throws KeylimeError `already_exists`, and what the client throws.
 */
export async function enrolAtVerifier(context: TenantContext, enrolling: Enrolling): Promise<void> {
  const { report, options } = context
  const { agentId } = enrolling
  report({ type: 'working', text: 'handing the second key share and the policy to the verifier' })
  let tries = 0
  await withRetries(context, 'verifier', async () => {
    tries++
    const warnings = (await updated(context, enrolling)) ?? (await added(context, enrolling, tries))
    for (const text of warnings) report({ type: 'warning', text })
  })
  const status = options.wait ? undefined : await waitUntilKnown(context, agentId)
  if (status) report({ type: 'enrolled_status', agentId, status })
  report({ type: 'enrolled', agentId, tries })
}

/** Undefined when the agent must be added: it is not there, or was deleted because this verifier cannot change an enrolment. */
async function updated(context: TenantContext, enrolling: Enrolling): Promise<string[] | undefined> {
  const { agentId, plan } = enrolling
  if (!plan.known) return undefined
  const request = plan.update && {
    ...plan.update,
    ...deliveryOf(enrolling, 'update'),
    ...(context.options.takesOver && !enrolling.payload ? { v: null } : {}),
  }
  const warnings = request ? await context.verifier.update(agentId, request) : undefined
  if (warnings === undefined) await deleteFromVerifier(context, agentId)
  return warnings
}

async function added({ verifier }: TenantContext, enrolling: Enrolling, tries: number): Promise<string[]> {
  const request: EnrolmentRequest = { ...enrolling.plan.request, ...deliveryOf(enrolling, 'add') }
  return verifier.enrol(enrolling.agentId, request).catch((error) => {
    if (tries > 1 && isKeylimeError(error) && error.code === 'already_exists') return [] // an earlier try whose answer was lost
    throw error
  })
}

type Delivery = Pick<EnrolmentUpdate, 'v' | 'metadata' | 'revocation_key'> & { supported_version?: string }

/** What comes with a payload. Without one, the key and the certificate of the one before stay; without a certificate, its certificate does. */
function deliveryOf({ payload, version }: Enrolling, mode: 'add' | 'update'): Delivery {
  const certificate = payload && (mode === 'add' || payload.revocationKey !== '')
  return {
    ...(version ? { supported_version: version } : {}),
    ...(payload ? { v: payload.v.toString('base64') } : {}),
    ...(certificate ? { metadata: payload.metadata, revocation_key: payload.revocationKey } : {}),
  }
}

export function alreadyThere(agentId: string): KeylimeError {
  return new KeylimeError('already_exists', `the verifier already has agent ${agentId}`, {
    hint: 'use `keylime tenant update` to change what is named and keep the rest, or delete it first',
  })
}
