import { KeylimeError } from '../../../core/errors.ts'
import { deleteFromVerifier } from '../enrol/delete-from-verifier.ts'
import { serialOf } from '../enrol/plan-enrolment.ts'
import type { TenantContext } from '../tenant-context.ts'
import { chooseAgent, type DoneWith } from './choose-agent.ts'
import { certificateAdvice, certificateText, endCertificate } from './end-certificate.ts'

/**
 * `revoke`: for a machine that is stolen or in wrong hands. First the others are told and its enrolment ends, then its registration, so that it cannot come
 * back, and last its certificate, for which a password may be asked. What was done before is done already: the same command goes on where it stopped.
 */
export async function revokeAgent(context: TenantContext): Promise<DoneWith> {
  const { verifier, registrar, report } = context
  const agentId = await chooseAgent(context, 'revoke')
  const status = await verifier.agent(agentId)
  if (!status && !context.options.yes) await refuseUnknown(context, agentId)
  const told = status ? await tellOthers(context, agentId) : 'it was not enrolled, so nobody was told'
  report({ type: 'deleted', agentId, known: status !== undefined })
  const barred = await registrar.revoke(agentId)
  if (!barred) await registrar.delete(agentId)
  if (!barred) report({ type: 'warning', text: 'this registrar keeps no revoked ids: the machine can register again when it is started' })
  else if (!barred.tpm_known)
    report({ type: 'warning', text: `agent ${agentId} was not registered: its id is barred, its TPM is not known` })
  for (const other of barred?.other_ids ?? [])
    report({
      type: 'warning',
      text: `the same TPM is still registered as ${other}, and trusted under that id: run \`keylime tenant revoke ${other}\``,
    })
  const certificate = await endCertificate(context, agentId, { serial: status ? serialOf(status) : null, reason: 'keyCompromise' })
  const advice = certificateAdvice(certificate)
  if (advice) report({ type: 'warning', text: advice })
  const bars = barred ? `; it cannot register again until \`keylime tenant forget ${agentId}\`` : ''
  return { agentId, summary: `agent ${agentId} is revoked: ${told}, ${certificateText(certificate)}${bars}` }
}

/** A slip of the keyboard would bar an id that nobody has, and leave the stolen machine as it is. */
async function refuseUnknown({ registrar }: TenantContext, agentId: string): Promise<void> {
  const isKnown = (await registrar.agent(agentId)) || (await registrar.revoked())?.some((mark) => mark.agent_id === agentId)
  if (isKnown) return
  throw new KeylimeError('agent_not_found', `nobody knows agent ${agentId}`, {
    hint: `\`keylime tenant list\` shows all machines; to bar an id that no machine has, add --yes`,
  })
}

async function tellOthers(context: TenantContext, agentId: string): Promise<string> {
  const revoked = await context.verifier.revoke(agentId)
  if (revoked) return `${revoked.receivers} receivers are being told (see \`keylime tenant revocations\`)`
  await deleteFromVerifier(context, agentId)
  context.report({ type: 'warning', text: 'this verifier cannot announce a revocation: the enrolment has ended, and nobody was told' })
  return 'nobody was told'
}
