import { KeylimeError } from '../../../core/errors.ts'
import type { Takes } from '../services/verifier-service.ts'
import type { TenantContext } from '../tenant-context.ts'
import type { EnrolmentPlan } from './plan-enrolment.ts'

/**
 * Has the verifier say, before anything leaves, whether it would take the enrolment. A verifier of upstream has no such check: of it the names of policies are
 * asked, the slip that is made most. @returns what it takes beside; undefined when it cannot say: a verifier of upstream. @throws KeylimeError as the enrolment itself would.
 */
export async function checkAtVerifier(
  { verifier, report }: TenantContext,
  agentId: string,
  plan: EnrolmentPlan,
): Promise<Takes | undefined> {
  const { request, update } = plan
  report({ type: 'working', text: 'asking the verifier whether it would accept this' })
  const takes = await verifier.check(agentId, update ?? request)
  if (takes) return takes
  const { runtime_policy_name: runtime, mb_policy_name: mb } = request
  if (runtime) await checkName('/allowlists', runtime, request.runtime_policy === '')
  if (mb) await checkName('/mbpolicies', mb, request.mb_policy === null)
  return undefined

  async function checkName(path: string, name: string, mustBeThere: boolean): Promise<void> {
    const { status } = await verifier.raw('GET', `${path}/${encodeURIComponent(name)}`)
    if (status === 404 && mustBeThere)
      throw new KeylimeError('policy_not_found', `the verifier has no policy named ${name}`, {
        hint: 'nothing was sent; `keylime tenant listruntimepolicy` and `listmbpolicy` show the names',
      })
    if (status === 200 && !mustBeThere)
      throw new KeylimeError('conflict', `the verifier already has a policy named ${name}`, {
        hint: 'nothing was sent; give only the name to use it, or another name for this file',
      })
  }
}
