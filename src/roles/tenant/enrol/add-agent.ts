import type { TenantContext } from '../tenant-context.ts'
import { collectPayload } from './collect-payload.ts'
import { enrolAtVerifier } from './enrol-at-verifier.ts'
import { followDelivery } from './follow-delivery.ts'
import { trustOf } from './plan-enrolment.ts'
import { prepareEnrolment } from './prepare-enrolment.ts'
import { proveIdentity } from './prove-identity.ts'
import { proveKey } from './prove-key.ts'
import { sendShare } from './send-share.ts'
import { waitForVerdict } from './wait-for-verdict.ts'

/** What became of an enrolment; the rest was thrown. */
export interface Enrolled {
  readonly agentId: string
  /** The first evidence was judged good: by some policy, or by none, when a machine in any state passes. Undefined when nobody waited for it. */
  readonly attested: 'by policy' | 'without policy' | undefined
  /** The agent proved that it derived the key. */
  readonly delivered: boolean
  /** Nothing was named that would change anything, and nothing was done. */
  readonly unchanged?: true
}

/**
 * `add`: finds the agent, has the verifier look whether it would take the enrolment, has the agent's TPM prove itself, hands U and the payload to the agent
 * and V to the verifier, and waits for the verdict. Nothing leaves before the verifier said yes, and no share before quote, transport key and EK were judged
 * good (protocol 3.2 to 3.7); a machine that brings its evidence by itself is judged by what the registrar has of it. `update` is the same for an enrolment
 * that is there: what it does not name stays.
 */
export async function addAgent(given: TenantContext, mode: 'add' | 'update'): Promise<Enrolled> {
  const { context, target, judged, plan, unchanged } = await prepareEnrolment(given, mode)
  const { options, report } = context
  const { agentId } = target.found
  if (unchanged) return { agentId, attested: undefined, delivered: false, unchanged }
  for (const change of plan.changes) report({ type: 'change', ...change })
  const proved = judged ? undefined : await proveIdentity(context, target)
  const payload = await collectPayload(context, target.found) // after it: the registrar's word alone ends no certificate of another machine
  if (proved && payload) await sendShare(proved, agentId, payload, report) // a machine that refuses U stays enrolled as it is
  await enrolAtVerifier(context, { agentId, machine: judged ?? proved!.machine, version: proved?.agent.version ?? '', plan, payload })
  const status = proved && options.wait ? await waitForVerdict(context, agentId, { hasKey: payload !== undefined }) : undefined
  const attested = status && trustOf(status)
  if (!proved || !payload || !(options.verify || options.wait)) return { agentId, attested, delivered: false }
  await proveKey(context, proved.agent, agentId, payload.k)
  if (options.wait) await followDelivery(context, proved.agent, agentId) // upstream's tenant does not know of it
  return { agentId, attested, delivered: true }
}
