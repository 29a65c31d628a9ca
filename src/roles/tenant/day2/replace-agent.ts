import type { RegisteredAgent } from '../../../core/api/registrar.ts'
import { KeylimeError } from '../../../core/errors.ts'
import { addAgent, type Enrolled } from '../enrol/add-agent.ts'
import type { TenantContext } from '../tenant-context.ts'
import { awaitRegistration } from './await-registration.ts'
import { chooseAgent } from './choose-agent.ts'

/**
 * `replace`: another TPM, or another system on the same one, takes over an id. Its attestation is stopped first, so that what the machine shows meanwhile alarms
 * nobody; its registration ends; and when the machine has registered anew it is enrolled with what the enrolment before demanded. @returns undefined when
 * nobody waited for it.
 */
export async function replaceAgent(context: TenantContext): Promise<{ agentId: string; enrolled: Enrolled | undefined }> {
  const { options, registrar, verifier, report } = context
  const agentId = await chooseAgent(context, 'replace')
  await refuseRevoked(context, agentId)
  const [known, before] = await Promise.all([verifier.agent(agentId), registrar.agent(agentId)])
  if (!known && !before)
    throw new KeylimeError('agent_not_found', `nobody knows agent ${agentId}`, {
      hint: 'add a new machine with `keylime tenant add`',
    })
  if (known) await verifier.stop(agentId)
  await registrar.delete(agentId)
  const resume = `keylime tenant ${known ? 'update' : 'add'} -u ${agentId}`
  if (!options.wait) return { agentId, enrolled: undefined }
  const now = await awaitRegistration(context, agentId, resume)
  if (before && before.ek_tpm !== now.ek_tpm)
    report({ type: 'warning', text: `another TPM has registered as ${agentId}: its EK is judged now` })
  const enrolled = await takeOver(context, agentId, now)
  if (known && !enrolled.delivered)
    report({
      type: 'warning',
      text: `${agentId} has no payload: the old machine’s key is not handed on; deliver the payload with \`keylime tenant update -u ${agentId}\` and -f, or --cert and --include`,
    })
  return { agentId, enrolled }
}

/** Enrols who has registered anew, where it is now, and without the key share of the machine before. */
async function takeOver(context: TenantContext, agentId: string, { ip }: RegisteredAgent): Promise<Enrolled> {
  const { options, verifier } = context
  const known = await verifier.agent(agentId)
  const comesByItself = options.pushModel === true || known?.comes_by === 'push'
  const address = options.cvTargetHost || (comesByItself ? '' : ip) || ''
  const taking = { ...options, agentId, exactId: true, takesOver: true, ...(address ? { cvTargetHost: address } : {}) }
  return addAgent({ ...context, options: taking }, known ? 'update' : 'add')
}

async function refuseRevoked({ registrar }: TenantContext, agentId: string): Promise<void> {
  if (!(await registrar.revoked())?.some((mark) => mark.agent_id === agentId)) return
  throw new KeylimeError('refused', `agent ${agentId} was revoked by an operator: nothing can replace it`, {
    hint: `\`keylime tenant forget ${agentId}\` first, if you have the machine back`,
  })
}
