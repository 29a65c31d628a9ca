import { KeylimeError } from '../../../core/errors.ts'
import { askYes } from '../../../io/terminal/ask-yes.ts'
import { resolveAgent } from '../services/find-agent.ts'
import type { TenantContext } from '../tenant-context.ts'

/** What was done with an agent, in a sentence. */
export interface DoneWith {
  readonly agentId: string
  readonly summary: string
}

/**
 * The agent of a word that takes something away. A whole id, a name or an address is what it is; an id that was only begun is asked about, and `--yes`
 * is no answer to that: of the same command, given again in a script, it would mean the next machine that begins so.
 * @param doing such as `revoke`. @throws KeylimeError `usage` where nobody can be asked, `refused` when the answer is no.
 */
export async function chooseAgent(context: TenantContext, doing: string): Promise<string> {
  const { options } = context
  const { agentId, by } = await resolveAgent(context, options)
  if (by !== 'prefix') return agentId
  const answer = await askYes(`${doing} agent ${agentId}?`)
  if (answer === null)
    throw new KeylimeError('usage', `"${options.agentId}" means agent ${agentId}: to ${doing} it, give the whole id`, {
      hint: `run this with -u ${agentId}`,
    })
  if (!answer) throw new KeylimeError('refused', 'nothing was done')
  return agentId
}
