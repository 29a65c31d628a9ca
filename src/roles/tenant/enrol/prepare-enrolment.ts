import type { AgentStatus } from '../../../core/api/agent-status.ts'
import { stateWord } from '../../../core/attestation/state-word.ts'
import { KeylimeError } from '../../../core/errors.ts'
import { policyFields } from '../policies/policy-fields.ts'
import { type FoundAgent, findAgent } from '../services/find-agent.ts'
import type { TenantContext } from '../tenant-context.ts'
import type { TenantOptions } from '../tenant-options.ts'
import { type AgentTarget, agentTarget } from './agent-target.ts'
import { checkAtVerifier } from './check-at-verifier.ts'
import { checkPayloadOptions, delivers, requirePayloadFiles } from './collect-payload.ts'
import { alreadyThere } from './enrol-at-verifier.ts'
import { type JudgedMachine, judgeRegistered } from './judge-registered.ts'
import { type OperatorKey, operatorKey } from './operator-key.ts'
import { type EnrolmentPlan, planEnrolment } from './plan-enrolment.ts'

/** What is known of an enrolment before anything leaves. */
export interface PreparedEnrolment {
  /** As it was given, with `pushModel` as the machine comes. */
  readonly context: TenantContext
  readonly target: AgentTarget
  /** The registrar's record, of a machine that is not contacted. */
  readonly judged: JudgedMachine | undefined
  /** Signs what lies at the verifier for the machine; undefined when nothing will. */
  readonly operator: OperatorKey | undefined
  readonly plan: EnrolmentPlan
  /** There is nothing to do: all that is named is so already. */
  readonly unchanged: boolean
}

/**
 * The first half of `add` and `update`, which changes nothing: files and policies are read, the registrar is asked where the machine is, and the verifier whether it
 * would take the enrolment. @throws KeylimeError for whatever would keep it from being one, but for what only the machine itself can prove.
 */
export async function prepareEnrolment(given: TenantContext, mode: 'add' | 'update'): Promise<PreparedEnrolment> {
  const { verifier, report } = given
  checkPayloadOptions(given.options)
  await requirePayloadFiles(given.options)
  const policies = await policyFields(given)
  verifier.warmUp()
  report({ type: 'working', text: 'looking for the agent at the registrar' })
  const found = await findAgent(given, given.options)
  const { agentId } = found
  const known = await verifier.agent(agentId)
  if (known && mode === 'add') throw alreadyThere(agentId)
  const context = { ...given, options: asItComes(given.options, known) }
  checkPayloadOptions(context.options)
  const { pushModel, sealed } = context.options
  const operator = (pushModel || sealed) && delivers(context.options) ? operatorKey(context.identity) : undefined
  const target = showTarget(context, found)
  const judged = pushModel || sealed ? await judgeRegistered(context, found) : undefined
  const plan = planEnrolment(context, { target, policies, known })
  const prepared = { context, target, judged, operator, plan, unchanged: false }
  if (changesNothing(context.options, plan)) return { ...prepared, unchanged: true }
  const takes = await checkAtVerifier(context, agentId, plan)
  if (operator && !takes?.delivery) throw keepsNoPayload(context.options, takes !== undefined)
  return takes ? prepared : { ...prepared, plan: forUpstream(plan, target) }
}

function keepsNoPayload({ pushModel }: TenantOptions, isOurs: boolean): KeylimeError {
  const whose = isOurs ? 'this verifier is older: it' : 'this verifier'
  return new KeylimeError('unsupported_version', `${whose} keeps no payload for a machine`, {
    hint: `nothing was sent; ${isOurs ? 'upgrade it' : 'only `keylime verifier` does, upstream’s does not'}${
      pushModel ? ', or give an address at which the machine can be reached with -t' : ', or leave --sealed out'
    }`,
  })
}

function asItComes(options: TenantOptions, known: AgentStatus | undefined): TenantOptions {
  if (!comesByItself(options, known)) return { ...options, pushModel: false }
  return { ...options, pushModel: true, timeoutSeconds: options.comesWithinSeconds ?? options.timeoutSeconds }
}

/** `--push-model`, or a machine that comes so already and is not given an address. */
function comesByItself(options: TenantOptions, known: AgentStatus | undefined): boolean {
  if (options.pushModel || !known || options.replaces) return options.pushModel === true
  const namesAddress = Boolean(options.cvTargetHost || options.targetHost) || options.targetPort !== undefined
  return known.comes_by === 'push' && !namesAddress
}

function showTarget(context: TenantContext, given: FoundAgent): AgentTarget {
  const target = agentTarget(context, given)
  const { found, host, port } = target
  const comesBy = context.options.pushModel ? 'push' : 'pull'
  context.report({
    type: 'agent_found',
    agentId: found.agentId,
    host,
    port,
    comesBy,
    by: found.by,
    regcount: found.registered.regcount ?? 1,
  })
  return target
}

/** Upstream's verifier wants an address of every machine, and in its push mode leaves it aside. */
function forUpstream(plan: EnrolmentPlan, { host, port }: AgentTarget): EnrolmentPlan {
  const { push_model, ...request } = plan.request
  return push_model && host !== '' ? { ...plan, request: { ...request, cloudagent_ip: host, cloudagent_port: port } } : plan
}

/**
 * An update that names nothing, or nothing new, leaves a machine that is attested as it is. One that is not may have registered anew: then what it registered
 * with is taken.
 */
function changesNothing(options: TenantOptions, { known, update }: EnrolmentPlan): boolean {
  if (!known || !update || options.replaces || options.takesOver || stateWord(known) !== 'attested') return false
  if (delivers(options) || options.name !== undefined) return false
  const { ak_tpm: _ak, mtls_cert: _certificate, cloudagent_ip: ip = known.ip, cloudagent_port: port = known.port, ...others } = update
  return ip === known.ip && port === known.port && Object.keys(others).length === 0
}
