import type { AgentStatus } from '../../../core/api/agent-status.ts'
import { KeylimeError } from '../../../core/errors.ts'
import { isOwnPolicyName } from '../../../core/policy/policy-name.ts'
import { addAgent, type Enrolled } from '../enrol/add-agent.ts'
import { deleteFromVerifier } from '../enrol/delete-from-verifier.ts'
import { serialOf } from '../enrol/plan-enrolment.ts'
import type { TenantContext } from '../tenant-context.ts'
import type { TenantOptions } from '../tenant-options.ts'
import { awaitRegistration } from './await-registration.ts'
import { chooseAgent } from './choose-agent.ts'
import { certificateAdvice, endCertificate } from './end-certificate.ts'

const alreadyTaken = (newId: string) =>
  new KeylimeError('already_exists', `there is already an agent ${newId}`, {
    hint: `choose another id; if that machine is gone for good, \`keylime tenant forget ${newId}\` first`,
  })

/**
 * `rename`: the same machine under another id. Ids are bound to TPM, certificate and delivery, so the machine registers anew; it counts as the same only when its
 * EK is. @returns undefined when nobody waited for it.
 */
export async function renameAgent(context: TenantContext): Promise<{ agentId: string; enrolled: Enrolled | undefined }> {
  const { options, registrar, report, verifier } = context
  const { newId = '' } = options
  if (newId === '') throw new KeylimeError('usage', 'rename takes two ids', { hint: '`keylime tenant rename OLD NEW`' })
  const oldId = await chooseAgent(context, 'rename')
  if (newId === oldId) throw new KeylimeError('usage', `agent ${oldId} already has that id`)
  const [known, before, taken] = await Promise.all([verifier.agent(oldId), registrar.agent(oldId), registrar.agent(newId)])
  if (!before)
    throw new KeylimeError('agent_not_found', `agent ${oldId} is not registered, so nothing can prove which machine gets the new id`)
  if (taken || (await verifier.agent(newId))) throw alreadyTaken(newId)
  const demands = known ? demandsAsOptions(oldId, known, options) : {}
  if (known) await verifier.stop(oldId)
  await registrar.delete(oldId)
  const resume = `keylime tenant add -u ${newId}${optionsText({ ...options, ...demands })}`
  if (!options.wait) {
    report({ type: 'warning', text: `what ${oldId} had to prove is kept only by: ${resume}` })
    return { agentId: newId, enrolled: undefined }
  }
  const now = await awaitRegistration(context, newId, resume)
  if (now.ek_tpm !== before.ek_tpm)
    throw new KeylimeError('refused', `another TPM has registered as ${newId}: that is not agent ${oldId}`, {
      hint: `agent ${oldId} is stopped and not registered; find out who took ${newId}, then run \`keylime tenant forget ${newId}\``,
    })
  const enrolled = await addAgent({ ...context, options: { ...options, ...demands, agentId: newId, exactId: true } }, 'add')
  if (known) await deleteFromVerifier(context, oldId)
  await endOldCertificate(context, oldId, known ? serialOf(known) : null)
  return { agentId: newId, enrolled }
}

/** A command that goes on by hand must not demand less than this one would have. */
function optionsText(options: Partial<TenantOptions>): string {
  const named = [
    ['--runtime-policy', options.runtimePolicy],
    ['--runtime-policy-name', options.runtimePolicyName],
    ['--mb-policy', options.mbPolicy],
    ['--mb-policy-name', options.mbPolicyName],
    ['--tpm_policy', options.tpmPolicy === '{}' ? '' : options.tpmPolicy],
  ] as const
  return `${options.pushModel ? ' --push-model' : ''}${named.map(([name, value]) => (value ? ` ${name} '${value}'` : '')).join('')}`
}

/** With another certificate the one of the old id is superseded: no failure and no `revoke` of the new id would reach it. */
async function endOldCertificate(context: TenantContext, oldId: string, serial: string | null): Promise<void> {
  const { options, report } = context
  const advice = options.cert
    ? certificateAdvice(await endCertificate(context, oldId, { serial, reason: 'superseded' }))
    : serial === null
      ? undefined
      : `its certificate ${serial} is of the old id and good still, and no failure of ${options.newId} revokes it: \`keylime ca revoke -n ${oldId}\`, and give it another with --cert`
  if (advice) report({ type: 'warning', text: advice })
}

/** What the old enrolment demands, as options of `add`. @throws KeylimeError `refused` for a policy that has no name of its own and cannot be taken along. */
function demandsAsOptions(oldId: string, status: AgentStatus, options: TenantOptions): Partial<TenantOptions> {
  const { runtime_policy_name: runtime, mb_policy_name: boot, tpm_policy: pcrs } = status
  for (const [name, given] of [
    [runtime, options.runtimePolicy || options.runtimePolicyName],
    [boot, options.mbPolicy || options.mbPolicyName],
  ] as const)
    if (name && isOwnPolicyName(name) && !given)
      throw new KeylimeError('refused', `a policy of agent ${oldId} was given as a file and has no name: it cannot be taken along`, {
        hint: 'nothing was changed; name the file again, with --runtime-policy or --mb-policy',
      })
  return {
    ...(runtime && !options.runtimePolicy && !options.runtimePolicyName ? { runtimePolicyName: runtime } : {}),
    ...(boot && !options.mbPolicy && !options.mbPolicyName ? { mbPolicyName: boot } : {}),
    ...(pcrs && !options.tpmPolicy ? { tpmPolicy: withoutMask(pcrs) } : {}),
    ...(status.comes_by === 'push' && !options.cvTargetHost ? { pushModel: true } : {}),
  }
}

/** The mask follows from the policies, and is worked out again. */
function withoutMask(given: AgentStatus['tpm_policy']): string {
  const { mask: _mask, ...values } = (typeof given === 'string' ? JSON.parse(given || '{}') : given) as Record<string, unknown>
  return JSON.stringify(values)
}
