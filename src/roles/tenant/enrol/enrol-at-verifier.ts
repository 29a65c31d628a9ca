import { labelsOf, parseMachineName, readMetaData } from '../../../core/api/enrolment-metadata.ts'
import type { Mailbox } from '../../../core/api/push/delivery.ts'
import type { EnrolmentRequest, EnrolmentUpdate } from '../../../core/api/verifier.ts'
import { isKeylimeError, KeylimeError } from '../../../core/errors.ts'
import type { TenantContext } from '../tenant-context.ts'
import type { TenantOptions } from '../tenant-options.ts'
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
  /** What the machine gets from the verifier; undefined where the payload is handed to the machine itself, or there is none. */
  readonly mailbox: Mailbox | undefined
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
    const warnings = (await updated(context, enrolling, tries)) ?? (await added(context, enrolling, tries))
    for (const text of warnings) report({ type: 'warning', text })
  })
  const status = options.wait ? undefined : await waitUntilKnown(context, agentId)
  if (status) report({ type: 'enrolled_status', agentId, status })
  report({ type: 'enrolled', agentId, tries })
}

/** Undefined when the agent must be added: it is not there, or was deleted because this verifier cannot change an enrolment. */
async function updated(context: TenantContext, enrolling: Enrolling, tries: number): Promise<string[] | undefined> {
  const { agentId, plan, mailbox } = enrolling
  if (!plan.known) return undefined
  const request = plan.update && {
    ...plan.update,
    ...deliveryOf(context.options, enrolling, 'update'),
    ...(context.options.takesOver && !enrolling.payload ? { v: null } : {}),
    ...(endsMailbox(context.options, enrolling) ? { delivery: null } : {}),
  }
  const warnings = request
    ? await context.verifier.update(agentId, request).catch(async (error) => {
        const isConflict = isKeylimeError(error) && error.code === 'conflict'
        if (tries > 1 && isConflict && mailbox && (await liesThere(context, agentId, mailbox))) return []
        throw error
      })
    : undefined
  if (warnings === undefined) await deleteFromVerifier(context, agentId)
  return warnings
}

/** An earlier try has brought it, and its answer was lost: an order counts once. */
async function liesThere({ verifier }: TenantContext, agentId: string, { order }: Mailbox): Promise<boolean> {
  const enrolment = (await verifier.agent(agentId))?.delivery?.enrolment
  return enrolment !== undefined && order.includes(JSON.stringify(enrolment))
}

async function added({ verifier, options }: TenantContext, enrolling: Enrolling, tries: number): Promise<string[]> {
  const request: EnrolmentRequest = { ...enrolling.plan.request, ...deliveryOf(options, enrolling, 'add') }
  return verifier.enrol(enrolling.agentId, request).catch((error) => {
    if (tries > 1 && isKeylimeError(error) && error.code === 'already_exists') return [] // an earlier try whose answer was lost
    throw error
  })
}

/** What lies there for the machine before, or fits a key share that another takes the place of, is for nobody any more. */
function endsMailbox({ takesOver }: TenantOptions, { plan, payload, mailbox }: Enrolling): boolean {
  return Boolean(plan.known?.delivery) && !mailbox && (payload !== undefined || takesOver === true)
}

type Delivery = Pick<EnrolmentUpdate, 'v' | 'metadata' | 'revocation_key' | 'delivery'> & { supported_version?: string }

/** What comes with a payload. Without one, the key and the certificate of the one before stay; without a certificate, its certificate does. */
function deliveryOf(options: TenantOptions, enrolling: Enrolling, mode: 'add' | 'update'): Delivery {
  const { payload, version, mailbox } = enrolling
  const certificate = payload && (mode === 'add' || payload.revocationKey !== '')
  const metadata = metaDataOf(options, enrolling, certificate ? payload.metadata : undefined)
  return {
    ...(version ? { supported_version: version } : {}),
    ...(payload ? { v: payload.v.toString('base64') } : {}),
    ...(mailbox ? { delivery: mailbox } : {}),
    ...(metadata === undefined ? {} : { metadata }),
    ...(certificate ? { revocation_key: payload.revocationKey } : {}),
  }
}

/** Labels of ours stand beside what belongs to the certificate. @param given of a certificate that comes along. @returns undefined when it stays as it is. */
function metaDataOf(
  { name, counts, takesOver }: TenantOptions,
  { plan, payload }: Enrolling,
  given: string | undefined,
): string | undefined {
  const before = readMetaData(plan.known?.meta_data)
  const labels = labelsOf(before)
  const named = name === undefined ? labels.name : name === '' ? null : parseMachineName(name)
  const generation = takesOver && !payload ? 0 : labels.payloadGeneration + (payload && counts ? 1 : 0) // another machine was given nothing yet
  const {
    name: _name,
    payload_generation: _generation,
    ...certificate
  } = readMetaData(given ?? (plan.update ? (plan.update.metadata ?? before) : {}))
  const isSame = plan.update ? named === labels.name && generation === labels.payloadGeneration : named === null && generation === 0
  if (given === undefined && plan.update?.metadata === undefined && isSame) return undefined
  return JSON.stringify({
    ...certificate,
    ...(named === null ? {} : { name: named }),
    ...(generation > 0 ? { payload_generation: generation } : {}),
  })
}

export function alreadyThere(agentId: string): KeylimeError {
  return new KeylimeError('already_exists', `the verifier already has agent ${agentId}`, {
    hint: 'use `keylime tenant update` to change what is named and keep the rest, or delete it first',
  })
}
