import type { AgentStatus } from '../../../core/api/agent-status.ts'
import { readMetaData } from '../../../core/api/enrolment-metadata.ts'
import type { EnrolmentRequest, EnrolmentUpdate } from '../../../core/api/verifier.ts'
import { KeylimeError } from '../../../core/errors.ts'
import {
  changeText,
  type DemandChange,
  type Demands,
  type Droppable,
  demandChanges,
  demandNothing,
} from '../../../core/policy/demand-changes.ts'
import { policyNameText } from '../../../core/policy/policy-name.ts'
import { parseTpmPolicy, type TpmPolicy } from '../../../core/policy/tpm-policy.ts'
import { IMA_PCR, pcrMask } from '../../../core/tpm/pcr-selection.ts'
import { BOOT_PCRS, type PolicyFields, tpmPolicyJson } from '../policies/policy-fields.ts'
import type { TenantContext } from '../tenant-context.ts'
import type { AgentTarget } from './agent-target.ts'

/** What the verifier is to hold of one agent, all but the key share. */
export interface EnrolmentPlan {
  /** Everything, for an agent that is added. */
  readonly request: EnrolmentRequest
  /** What changes of the enrolment that is there; null when there is none, or this verifier can only add. */
  readonly update: EnrolmentUpdate | null
  /** What the verifier has of the agent already. */
  readonly known: AgentStatus | undefined
  readonly changes: readonly DemandChange[]
}

export interface PlanParts {
  readonly target: AgentTarget
  readonly policies: PolicyFields
  readonly known: AgentStatus | undefined
}

type Used = Pick<TenantContext, 'options' | 'config' | 'isConfigured' | 'verifier' | 'report'>

/**
 * Works out what the verifier is to be told. An update keeps what the command does not name, shows what changes, and takes no protection away unless `--drop`
 * says so; that of upstream's face replaces everything, as upstream's does, and warns of what gets lost. @throws KeylimeError `refused`.
 */
export function planEnrolment(used: Used, { target, policies, known }: PlanParts): EnrolmentPlan {
  const { options, report } = used
  const request = wholeRequest(used, { target, policies })
  if (!known) return { request, update: null, known, changes: [] }
  const before = demandsOf(known)
  const isOurs = known.failures !== undefined // upstream's verifier tells no failures, and replaces nothing
  const keeps = isOurs && !options.replaces
  const named = demandsNamed(used, policies)
  const certificate = isOurs ? before.certificate : named.certificate // ours keeps it whoever asks: without it nobody believes a revocation
  const after = keeps ? demandsKept(used, policies, before) : { ...named, certificate }
  const changes = demandChanges(before, after)
  const lost = changes.filter(({ lowers }) => lowers !== null && !options.drop?.includes(lowers))
  if (options.replaces)
    for (const change of lost)
      report({ type: 'warning', text: `${changeText(change)}: this update does not name it (\`keylime tenant update\` would keep it)` })
  else if (lost.length > 0) throw wouldLower(target.found.agentId, lost, isOurs)
  const isReadable = known.last_event_id !== 'internal.verifier.record_unreadable'
  if (!isOurs || !isReadable) return { request, update: null, known, changes }
  return { request, update: keeps ? updateOf(used, request, { before, after, known }) : replacement(request), known, changes }
}

/** How much a good verdict says: without any policy a machine in any state gets one. */
export const trustOf = (status: AgentStatus) => (demandNothing(demandsOf(status)) ? 'without policy' : 'by policy')

/** As people speak of what a verifier holds. */
export function demandsOf(status: AgentStatus): Demands {
  const named = (has: number | null | undefined, name: string | null | undefined) => (has ? (name ? policyNameText(name) : 'one') : null)
  return {
    runtime: named(status.has_runtime_policy, status['runtime_policy_name'] as string | null),
    boot: named(status.has_mb_refstate, status['mb_policy_name'] as string | null),
    pcrs: tpmPolicyOf(status).allowed,
    certificate: certificateOf(status),
    accepted: acceptedText(status),
  }
}

function tpmPolicyOf({ tpm_policy: policy }: AgentStatus): TpmPolicy {
  return parseTpmPolicy(typeof policy === 'string' ? policy : JSON.stringify(policy ?? {}))
}

const certificateOf = (status: AgentStatus) => {
  const serial = serialOf(status)
  return serial === null ? null : `serial ${serial}`
}

/** The serial of the certificate that the verifier names when the machine fails; null for none. */
export function serialOf({ meta_data: given }: AgentStatus): string | null {
  const { cert_serial: serial } = readMetaData(given)
  return serial === undefined || serial === null ? null : String(serial)
}

/** What an enrolment demands that says nothing but the command's own words. */
function demandsNamed({ options, config }: Pick<Used, 'options' | 'config'>, policies: PolicyFields): Demands {
  return {
    runtime: options.runtimePolicyName || (policies.runtime_policy === '' ? null : givenName(options.runtimePolicy)),
    boot: options.mbPolicyName || (policies.mb_policy === null ? null : givenName(options.mbPolicy)),
    pcrs: parseTpmPolicy(policies.tpm_policy).allowed,
    certificate: options.cert ? 'new' : null,
    accepted: acceptedText(acceptedOf(config)),
  }
}

const givenName = (file: string | undefined) => (file && file !== 'default' ? file : 'its own')

/** The same with what stays because nothing else is said. */
function demandsKept(used: Pick<Used, 'options' | 'config' | 'isConfigured'>, policies: PolicyFields, before: Demands): Demands {
  const named = demandsNamed(used, policies)
  const dropped = (name: Droppable) => used.options.drop?.includes(name) === true
  const kept = <T>(now: T | null, name: Droppable, was: T | null) => now ?? (dropped(name) ? null : was)
  return {
    runtime: kept(named.runtime, 'runtime-policy', before.runtime),
    boot: kept(named.boot, 'mb-policy', before.boot),
    pcrs: used.options.tpmPolicy || dropped('tpm-policy') ? named.pcrs : before.pcrs,
    certificate: used.options.cert ? before.certificate : kept(null, 'certificate', before.certificate), // a new serial is told with the certificate
    accepted: ALGORITHMS.some(used.isConfigured) ? named.accepted : before.accepted,
  }
}

interface Difference {
  readonly before: Demands
  readonly after: Demands
  readonly known: AgentStatus
}

/** Who the agent is was proved a moment ago, and counts; of all else only what was named. */
function updateOf(used: Used, request: EnrolmentRequest, { before, after, known }: Difference): EnrolmentUpdate {
  const { options, report } = used
  const { ak_tpm, mtls_cert, runtime_policy_key } = request
  const namesRuntime = Boolean(options.runtimePolicyName) || request.runtime_policy !== ''
  const namesBoot = Boolean(options.mbPolicyName) || request.mb_policy !== null
  const dropsRuntime = !namesRuntime && before.runtime !== after.runtime
  const dropsBoot = !namesBoot && before.boot !== after.boot
  const isPush = request.push_model === true
  const address = { cloudagent_ip: request.cloudagent_ip, cloudagent_port: request.cloudagent_port, ...(isPush ? BY_ITSELF : {}) }
  const namesAddress = isPush
    ? known.comes_by !== 'push'
    : Boolean(options.cvTargetHost || options.targetHost) || options.targetPort !== undefined
  if (!isPush && !namesAddress && (known.ip !== address.cloudagent_ip || known.port !== address.cloudagent_port))
    report({
      type: 'warning',
      text: `the verifier asks this agent at ${known.ip}:${known.port}, as before; it registered with ${address.cloudagent_ip}:${address.cloudagent_port} (to use that, add --cv_targethost ${address.cloudagent_ip})`,
    })
  const tpmPolicy = tpmPolicyAfter(tpmPolicyOf(known), before, after)
  return {
    ak_tpm,
    mtls_cert,
    ...(namesAddress ? address : {}),
    ...(tpmPolicy === null ? {} : { tpm_policy: tpmPolicy }),
    ...(namesRuntime || dropsRuntime
      ? { runtime_policy: request.runtime_policy, runtime_policy_name: request.runtime_policy_name ?? null, runtime_policy_key }
      : {}),
    ...(namesBoot || dropsBoot ? { mb_policy: request.mb_policy, mb_policy_name: request.mb_policy_name ?? null } : {}),
    ...(before.certificate !== after.certificate ? { metadata: '{}', revocation_key: '' } : {}),
    ...(before.accepted !== after.accepted ? acceptedOf(used.config) : {}),
  }
}

/** The static policy with the mask that the policies beside it need; null when it stays as it is. */
function tpmPolicyAfter(was: TpmPolicy, before: Demands, after: Demands): string | null {
  const isSame = demandChanges({ ...before, pcrs: was.allowed }, after).length === 0
  return isSame
    ? null
    : tpmPolicyJson(
        { mask: ownMask(was) | pcrMask([...after.pcrs.keys()]), allowed: after.pcrs },
        { runtime: after.runtime !== null, boot: after.boot !== null },
      )
}

/** PCRs of the mask that no policy beside it explains: an operator asked for them to be quoted. */
function ownMask({ mask, allowed }: TpmPolicy): number {
  const explained = [...BOOT_PCRS, IMA_PCR, ...allowed.keys()]
  return explained.reduce((left, pcr) => left & ~(1 << pcr), mask) >>> 0
}

/** Everything but what belongs to a payload: without one, its key and certificate stay. */
function replacement({ v: _v, metadata: _metadata, revocation_key: _key, ...rest }: EnrolmentRequest): EnrolmentUpdate {
  return rest
}

function wholeRequest({ config, options, verifier }: Used, { target, policies }: Omit<PlanParts, 'known'>): EnrolmentRequest {
  const { registered } = target.found
  return {
    v: null,
    ...(options.pushModel ? BY_ITSELF : { cloudagent_ip: options.cvTargetHost || target.host, cloudagent_port: target.port }),
    verifier_ip: verifier.address.host,
    verifier_port: verifier.address.port,
    ...policies,
    metadata: '{}',
    revocation_key: '',
    ...acceptedOf(config),
    ak_tpm: registered.aik_tpm,
    mtls_cert: options.pushModel ? null : (registered.mtls_cert ?? null),
    supported_version: '2.6',
  }
}

const BY_ITSELF = { cloudagent_ip: null, cloudagent_port: null, push_model: true } as const

const ALGORITHMS = ['accept_tpm_hash_algs', 'accept_tpm_encryption_algs', 'accept_tpm_signing_algs'] as const

const acceptedOf = ({ accept_tpm_hash_algs, accept_tpm_encryption_algs, accept_tpm_signing_algs }: Used['config']) => ({
  accept_tpm_hash_algs,
  accept_tpm_encryption_algs,
  accept_tpm_signing_algs,
})

const acceptedText = (lists: { readonly [name in (typeof ALGORITHMS)[number]]?: readonly string[] | null | undefined }) =>
  ALGORITHMS.map((name) => (lists[name] ?? []).toSorted().join(', ')).join('; ')

function wouldLower(agentId: string, lost: readonly DemandChange[], isOurs: boolean): KeylimeError {
  const drops = [...new Set(lost.map(({ lowers }) => lowers))].map((name) => `--drop ${name}`).join(' ')
  const lines = lost.map((change) => `\n  ${changeText(change)}`).join('')
  return new KeylimeError('refused', `the update would take protection away from agent ${agentId}:${lines}`, {
    hint: isOurs
      ? `nothing was changed; add ${drops} if that is meant`
      : `nothing was changed. This verifier cannot keep what is not named: name it again, or add ${drops}`,
  })
}
