import { KeylimeError } from '../../../core/errors.ts'
import { deleteFromVerifier } from '../enrol/delete-from-verifier.ts'
import { serialOf } from '../enrol/plan-enrolment.ts'
import type { TenantContext } from '../tenant-context.ts'
import { chooseAgent, type DoneWith } from './choose-agent.ts'
import { certificateAdvice, certificateText, endCertificate } from './end-certificate.ts'

const STAYS =
  'the machine still has the agent with its keys in KEYLIME_DIR, and the payload in its tmpfs until that is unmounted or the machine is off: `keylime service uninstall agent --purge` there removes them'

/**
 * `forget`: for a machine that is taken out of service, or found again after a theft. First the verifier, so that nothing is announced; then its certificate;
 * last the registrar, with the mark of a revocation: until then a command that was interrupted finds it again.
 */
export async function forgetAgent(context: TenantContext): Promise<DoneWith> {
  const { verifier, registrar, report } = context
  const agentId = await chooseAgent(context, 'forget')
  const status = await verifier.agent(agentId)
  const wasEnrolled = status !== undefined && (await deleteFromVerifier(context, agentId))
  const reason = 'cessationOfOperation'
  const certificate = await endCertificate(context, agentId, { serial: status ? serialOf(status) : null, reason })
  const wasRegistered = await registrar.delete(agentId)
  const wasRevoked = await registrar.forgetRevocation(agentId)
  if (!wasEnrolled && !wasRegistered && !wasRevoked && certificate.kind !== 'revoked')
    throw new KeylimeError('agent_not_found', `nobody knows agent ${agentId}`, {
      hint: '`keylime tenant list` shows every known machine',
    })
  report({ type: 'deleted', agentId, known: wasEnrolled })
  const advice = certificateAdvice(certificate)
  if (advice) report({ type: 'warning', text: advice })
  report({ type: 'warning', text: STAYS })
  const places = [
    wasEnrolled ? 'no longer enrolled' : 'not enrolled',
    wasRegistered ? 'no longer registered' : 'not registered',
    ...(wasRevoked ? ['no longer barred from registering'] : []),
  ]
  return { agentId, summary: `agent ${agentId} is forgotten: ${[...places, certificateText(certificate)].join(', ')}` }
}
