import type { WaitingMachine } from '../../../core/api/expected-tpms.ts'
import { KeylimeError } from '../../../core/errors.ts'
import type { DoneWith } from '../day2/choose-agent.ts'
import type { TenantContext } from '../tenant-context.ts'
import { ekHashOption } from './expect-tpm.ts'

/** `keylime tenant approve`: a machine that waits is registered, or refused for good. @throws KeylimeError `usage`, `agent_not_found`, `conflict`. */
export async function approveMachine({ options, registrar }: TenantContext): Promise<DoneWith> {
  const { agentId, ekHash: given, refuses = false } = options
  const ekHash = given === undefined ? undefined : ekHashOption(given)
  if (!agentId && !ekHash)
    throw new KeylimeError('usage', 'which machine?', { hint: 'give its id with -u, its EK hash with --ek-hash, or both' })
  const { waiting } = await registrar.waiting()
  const chosen = chooseOne(waiting, { agentId, ekHash })
  await registrar.decide(chosen.agent_id, refuses ? 'refuse' : 'approve', chosen.ek_hash)
  const summary = refuses
    ? `agent ${chosen.agent_id} is refused: its TPM cannot register until \`keylime tenant expect --ek-hash ${chosen.ek_hash}\``
    : `agent ${chosen.agent_id} is approved and registered: \`keylime tenant add -u ${chosen.agent_id}\` enrols it`
  return { agentId: chosen.agent_id, summary }
}

/** The hash that is sent along is of what was looked at: another TPM that comes meanwhile under the same id is not approved in its place. */
function chooseOne(waiting: readonly WaitingMachine[], asked: { agentId: string | undefined; ekHash: string | undefined }): WaitingMachine {
  const { agentId, ekHash } = asked
  const ofId = waiting.filter(({ agent_id }) => !agentId || agent_id === agentId)
  const [first, second] = ofId.filter(({ ek_hash }) => !ekHash || ek_hash === ekHash)
  if (first && !second) return first
  if (first)
    throw new KeylimeError('conflict', `${ofId.length} machines with ${agentId ? `the id ${agentId}` : 'this TPM'} wait for approval`, {
      hint: agentId
        ? `say which TPM with --ek-hash: ${ofId
            .map(({ ek_hash }) => ek_hash)
            .slice(0, 5)
            .join(', ')}`
        : 'say which id with -u',
    })
  if (agentId && ofId.length > 0)
    throw new KeylimeError('agent_not_found', `agent ${agentId} waits with another TPM: its EK hash is ${ofId[0]!.ek_hash}`, {
      hint: 'this is not the machine that you expect: look at it before you approve it',
    })
  throw new KeylimeError('agent_not_found', `${agentId ? `agent ${agentId}` : 'that TPM'} does not wait for approval`, {
    hint: `\`keylime tenant pending\` shows who does${beginning(waiting, agentId)}`,
  })
}

function beginning(waiting: readonly WaitingMachine[], agentId: string | undefined): string {
  const ids = agentId ? waiting.filter(({ agent_id }) => agent_id.startsWith(agentId)).map(({ agent_id }) => agent_id) : []
  return ids.length > 0 ? `; give the whole id: ${ids.slice(0, 5).join(', ')}` : ''
}
