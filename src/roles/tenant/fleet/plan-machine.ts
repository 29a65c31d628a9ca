import { stateWord, stateWordText } from '../../../core/attestation/state-word.ts'
import { KeylimeError } from '../../../core/errors.ts'
import { changeText } from '../../../core/policy/demand-changes.ts'
import { prepareEnrolment } from '../enrol/prepare-enrolment.ts'
import { resolveAgentId } from '../services/find-agent.ts'
import { notEnrolled } from '../services/not-enrolled.ts'
import type { TenantContext } from '../tenant-context.ts'
import type { FleetWord } from './selection.ts'

/**
 * What a word would do with one machine, for `--dry-run`: asked of registrar and verifier, and nothing is changed. The machine itself is not asked.
 * @throws KeylimeError what the word itself would be refused for.
 */
export async function planMachine(context: TenantContext, word: FleetWord): Promise<string> {
  return word === 'add' || word === 'update' ? planEnrolling(context, word) : planOther(context, word)
}

async function planEnrolling(context: TenantContext, word: 'add' | 'update'): Promise<string> {
  const { plan, target, unchanged } = await prepareEnrolment(context, word)
  const { agentId } = target.found
  if (!plan.known) return `agent ${agentId} would be added: the verifier would accept it`
  if (unchanged) return `agent ${agentId}, attested, would stay as it is: nothing that you name is new`
  const changes = plan.changes.map(changeText)
  const what = changes.length > 0 ? changes.join(', ') : 'what it must prove stays as it is'
  return `agent ${agentId}, ${stateWordText(stateWord(plan.known))}, would be updated (${what}): the verifier would accept it`
}

const DONE: Record<Exclude<FleetWord, 'add' | 'update'>, string> = {
  attest: 'would be attested at once',
  reactivate: 'would be attested again',
  delete: 'would no longer be attested',
  revoke: 'would be revoked',
  forget: 'would be forgotten',
}

async function planOther(context: TenantContext, word: keyof typeof DONE): Promise<string> {
  const { verifier, registrar } = context
  const agentId = await resolveAgentId(context, context.options)
  const [status, registered] = await Promise.all([verifier.agent(agentId), registrar.agent(agentId)])
  if (!status && (word === 'reactivate' || word === 'attest')) throw notEnrolled(agentId)
  if (!status && word === 'delete') return `the verifier does not have agent ${agentId}: there is nothing to delete`
  const isBarred = !status && !registered && ((await registrar.revoked()) ?? []).some((mark) => mark.agent_id === agentId)
  if (!status && !registered && !isBarred)
    throw new KeylimeError('agent_not_found', `nobody knows agent ${agentId}`, {
      hint: '`keylime tenant list` shows every known machine',
    })
  const standing = status ? stateWordText(stateWord(status)) : isBarred ? 'revoked' : 'registered only'
  return `agent ${agentId}, ${standing}, ${DONE[word]}`
}
