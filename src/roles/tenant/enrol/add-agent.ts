import { stateWord } from '../../../core/attestation/state-word.ts'
import { policyFields } from '../policies/policy-fields.ts'
import { findAgent } from '../services/find-agent.ts'
import type { TenantContext } from '../tenant-context.ts'
import type { TenantOptions } from '../tenant-options.ts'
import { type AgentTarget, agentTarget } from './agent-target.ts'
import { checkAtVerifier } from './check-at-verifier.ts'
import { checkPayloadOptions, collectPayload, requirePayloadFiles } from './collect-payload.ts'
import { alreadyThere, enrolAtVerifier } from './enrol-at-verifier.ts'
import { followDelivery } from './follow-delivery.ts'
import { judgeRegistered } from './judge-registered.ts'
import { type EnrolmentPlan, planEnrolment, trustOf } from './plan-enrolment.ts'
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
export async function addAgent(context: TenantContext, mode: 'add' | 'update'): Promise<Enrolled> {
  const { options, report, verifier } = context
  checkPayloadOptions(options)
  await requirePayloadFiles(options)
  const policies = await policyFields(context)
  verifier.warmUp()
  const target = await findTarget(context)
  const { agentId } = target.found
  const known = await verifier.agent(agentId)
  if (known && mode === 'add') throw alreadyThere(agentId)
  const judged = options.pushModel ? await judgeRegistered(context, target.found) : undefined
  const plan = planEnrolment(context, { target, policies, known })
  if (changesNothing(options, plan)) return { agentId, attested: undefined, delivered: false, unchanged: true }
  await checkAtVerifier(context, agentId, plan)
  for (const change of plan.changes) report({ type: 'change', ...change })
  const payload = await collectPayload(context, target.found)
  const proved = judged ? undefined : await proveIdentity(context, target)
  if (proved && payload) await sendShare(proved, agentId, payload, report) // a machine that refuses U stays enrolled as it is
  await enrolAtVerifier(context, { agentId, machine: judged ?? proved!.machine, version: proved?.agent.version ?? '', plan, payload })
  const status = proved && options.wait ? await waitForVerdict(context, agentId, { hasKey: payload !== undefined }) : undefined
  const attested = status && trustOf(status)
  if (!proved || !payload || !(options.verify || options.wait)) return { agentId, attested, delivered: false }
  await proveKey(context, proved.agent, agentId, payload.k)
  if (options.wait) await followDelivery(context, proved.agent, agentId) // upstream's tenant does not know of it
  return { agentId, attested, delivered: true }
}

/**
 * An update that names nothing, or nothing new, leaves a machine that is attested as it is. One that is not may have registered anew: then what it registered
 * with is taken.
 */
function changesNothing(options: TenantOptions, { known, update }: EnrolmentPlan): boolean {
  if (!known || !update || options.replaces || options.takesOver || stateWord(known) !== 'attested') return false
  if (options.file || options.keyFile || options.cert || options.name !== undefined) return false
  const { ak_tpm: _ak, mtls_cert: _certificate, cloudagent_ip: ip = known.ip, cloudagent_port: port = known.port, ...others } = update
  return ip === known.ip && port === known.port && Object.keys(others).length === 0
}

async function findTarget(context: TenantContext): Promise<AgentTarget> {
  const { options, report } = context
  report({ type: 'working', text: 'looking for the agent at the registrar' })
  const target = agentTarget(context, await findAgent(context, options))
  const { found, host, port } = target
  report({ type: 'agent_found', agentId: found.agentId, host, port, by: found.by, regcount: found.registered.regcount ?? 1 })
  return target
}
