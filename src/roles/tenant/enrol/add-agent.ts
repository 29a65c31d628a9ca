import { AgentService } from '../services/agent-service.ts'
import type { TenantContext } from '../tenant-context.ts'
import type { AgentTarget } from './agent-target.ts'
import { awaitDelivery } from './await-delivery.ts'
import { collectPayload } from './collect-payload.ts'
import { enrolAtVerifier } from './enrol-at-verifier.ts'
import { followDelivery } from './follow-delivery.ts'
import type { JudgedMachine } from './judge-registered.ts'
import { type EnrolmentPlan, trustOf } from './plan-enrolment.ts'
import { type PreparedEnrolment, prepareEnrolment } from './prepare-enrolment.ts'
import { proveIdentity } from './prove-identity.ts'
import { proveKey } from './prove-key.ts'
import { sealDelivery } from './seal-delivery.ts'
import { sendShare } from './send-share.ts'
import { waitForVerdict } from './wait-for-verdict.ts'

/** What became of an enrolment; the rest was thrown. */
export interface Enrolled {
  readonly agentId: string
  /** The first evidence was judged good: by some policy, or by none, when a machine in any state passes. Undefined when nobody waited for it. */
  readonly attested: 'by policy' | 'without policy' | undefined
  /** `proved`: the agent proved that it derived the key. `waiting`: it lies at the verifier, and nobody waited on; `interrupted` by the operator. */
  readonly delivered: 'proved' | 'waiting' | 'interrupted' | undefined
  /** Nothing was named that would change anything, and nothing was done. */
  readonly unchanged?: true
}

/**
 * `add`: finds the agent, has the verifier look whether it would take the enrolment, has the agent's TPM prove itself, hands U and the payload to the agent
 * and V to the verifier, and waits for the verdict. Nothing leaves before the verifier said yes, and no share before quote, transport key and EK were judged
 * good (protocol 3.2 to 3.7). A machine that brings its evidence by itself is judged by what the registrar has of it, and gets U, sealed to its TPM, and the payload from the verifier, by
 * an order that is signed here. `update` is the same for an enrolment that is there: what it does not name stays.
 */
export async function addAgent(given: TenantContext, mode: 'add' | 'update'): Promise<Enrolled> {
  const prepared = await prepareEnrolment(given, mode)
  const { context, target, judged, plan, unchanged } = prepared
  const { options, report } = context
  const { agentId } = target.found
  const before = generationOf(plan)
  if (unchanged) return { agentId, attested: undefined, delivered: undefined, unchanged }
  for (const change of plan.changes) report({ type: 'change', ...change })
  if (judged) return enrolUncontacted(prepared, judged)
  const { agent, machine, reply } = await proveIdentity(context, target)
  const payload = await collectPayload(context, target.found) // after it: the registrar's word alone ends no certificate of another machine
  if (payload) await sendShare(context, { agent, machine, reply }, { agentId, payload, before }) // a machine that refuses U stays enrolled as it is
  await enrolAtVerifier(context, { agentId, machine, version: agent.version, plan, payload, mailbox: undefined })
  const status = options.wait ? await waitForVerdict(context, agentId, { hasKey: payload !== undefined }) : undefined
  const attested = status && trustOf(status)
  if (!payload || !(options.verify || options.wait)) return { agentId, attested, delivered: undefined }
  await proveKey(context, agent, agentId, payload.k)
  if (options.wait) await followDelivery(context, agent, agentId) // upstream's tenant does not know of it
  return { agentId, attested, delivered: 'proved' }
}

/** A machine that refused the one before because it has had a newer one says which. */
function generationOf({ known }: EnrolmentPlan): number | null {
  const delivery = known?.delivery
  return delivery ? Math.max(delivery.generation, delivery.report?.newest ?? 0) : null
}

/** Speaks to registrar and verifier alone. Certificates are made, and end, by the registrar's word: its record was judged. */
async function enrolUncontacted({ context, target, operator, plan }: PreparedEnrolment, machine: JudgedMachine): Promise<Enrolled> {
  const { options, clock } = context
  const { agentId } = target.found
  const payload = await collectPayload(context, target.found)
  const before = generationOf(plan)
  const sealed = payload && operator ? sealDelivery({ agentId, machine, payload, operator, before, now: clock.now() }) : undefined
  if (sealed)
    context.report({ type: 'delivery_sealed', agentId, generation: sealed.order.generation, operator: operator!.certificate.subject })
  await enrolAtVerifier(context, { agentId, machine, version: '', plan, payload, mailbox: sealed?.mailbox })
  if (!payload || !sealed) return { agentId, attested: undefined, delivered: undefined }
  if (!(options.wait || options.verify)) return { agentId, attested: undefined, delivered: 'waiting' }
  const { end, status } = await awaitDelivery(context, { agentId, order: sealed.order, k: payload.k, known: plan.known })
  if (end === 'interrupted') return { agentId, attested: undefined, delivered: 'interrupted' }
  if (end === 'released') await askWhoWasReleased(context, target, payload.k)
  return { agentId, attested: trustOf(status), delivered: 'proved' }
}

/** A machine that is asked says for itself what became of a payload. */
async function askWhoWasReleased(context: TenantContext, { found, host, port, pin }: AgentTarget, k: Buffer): Promise<void> {
  const client = context.openAgent(host, port, pin)
  const agent = await AgentService.connect(client, context.options.agentApiVersion ?? '')
  await proveKey(context, agent, found.agentId, k)
  await followDelivery(context, agent, found.agentId)
}
