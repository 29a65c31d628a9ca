import { policyFields } from '../policies/policy-fields.ts'
import { findAgent } from '../services/find-agent.ts'
import type { TenantContext } from '../tenant-context.ts'
import { type AgentTarget, agentTarget } from './agent-target.ts'
import { checkPayloadOptions, collectPayload } from './collect-payload.ts'
import { alreadyThere, enrolAtVerifier } from './enrol-at-verifier.ts'
import { followDelivery } from './follow-delivery.ts'
import { judgeRegistered } from './judge-registered.ts'
import { proveIdentity } from './prove-identity.ts'
import { proveKey } from './prove-key.ts'
import { sendShare } from './send-share.ts'
import { waitForVerdict } from './wait-for-verdict.ts'

/** What became of an enrolment; the rest was thrown. */
export interface Enrolled {
  readonly agentId: string
  /** The first evidence was judged good. */
  readonly attested: boolean
  /** The agent proved that it derived the key. */
  readonly delivered: boolean
}

/**
 * `add`: finds the agent, has its TPM prove itself, hands U and the payload to the agent and V to the verifier, and waits for the verdict. No share leaves
 * before quote, transport key and EK were judged good (protocol 3.2 to 3.7); a machine that brings its evidence by itself is judged by what the registrar has of it. `update` is the same, and puts the new enrolment in the place of the one that the verifier has.
 */
export async function addAgent(context: TenantContext, mode: 'add' | 'update'): Promise<Enrolled> {
  const { options, report, verifier } = context
  checkPayloadOptions(options)
  const policies = await policyFields(context)
  verifier.warmUp()
  const target = await findTarget(context)
  const { agentId } = target.found
  const [payload, known] = await both(collectPayload(context, agentId), verifier.agent(agentId))
  if (known && mode === 'add') throw alreadyThere(agentId)
  const proved = options.pushModel ? undefined : await proveIdentity(context, target)
  const machine = proved?.machine ?? (await judgeRegistered(context, target.found))
  if (proved && payload) await sendShare(proved, agentId, payload, report) // a machine that refuses U stays enrolled as it is
  await enrolAtVerifier(context, { target, machine, version: proved?.agent.version ?? '', policies, payload, known })
  if (proved && options.wait) await waitForVerdict(context, agentId, payload !== undefined)
  const attested = proved !== undefined && options.wait
  if (!proved || !payload || !(options.verify || options.wait)) return { agentId, attested, delivered: false }
  await proveKey(context, proved.agent, agentId, payload.k)
  if (options.wait) await followDelivery(context, proved.agent, agentId) // upstream's tenant does not know of it
  return { agentId, attested, delivered: true }
}

async function findTarget(context: TenantContext): Promise<AgentTarget> {
  const { options, registrar, report } = context
  report({ type: 'working', text: 'looking for the agent at the registrar' })
  const target = agentTarget(context, await findAgent(registrar, options))
  const { found, host, port } = target
  report({ type: 'agent_found', agentId: found.agentId, host, port, by: found.by, regcount: found.registered.regcount ?? 1 })
  return target
}

/** Both results; when one fails, the other is waited for all the same, so that nothing goes on behind an error that was already told. */
async function both<A, B>(one: Promise<A>, other: Promise<B>): Promise<[A, B]> {
  await Promise.allSettled([one, other])
  return [await one, await other]
}
