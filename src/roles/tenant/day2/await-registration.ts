import type { RegisteredAgent } from '../../../core/api/registrar.ts'
import { KeylimeError } from '../../../core/errors.ts'
import { poll } from '../../../io/poll.ts'
import type { TenantContext } from '../tenant-context.ts'

const PAUSES = { firstPauseMs: 50, longestPauseMs: 1000 }

/** Waits until a machine has registered under an id. @param resume the command with which the operator goes on later. @throws KeylimeError `timeout`. */
export async function awaitRegistration(context: TenantContext, agentId: string, resume: string): Promise<RegisteredAgent> {
  const { clock, options, registrar, report } = context
  report({ type: 'working', text: `waiting for the machine to register as ${agentId}: start its agent now` })
  const { timeoutSeconds } = options
  const registered = await poll({ clock, timeoutSeconds, ...PAUSES }, () => registrar.agent(agentId))
  if (registered) return registered
  const { waiting } = await registrar.waiting().catch(() => ({ waiting: [] }))
  if (waiting.some((machine) => machine.agent_id === agentId))
    throw new KeylimeError('timeout', `a machine has registered as ${agentId}, and waits for the approval of an operator`, {
      hint: `\`keylime tenant approve -u ${agentId}\`, then \`${resume}\``,
    })
  throw new KeylimeError('timeout', `nobody has registered as ${agentId} within ${timeoutSeconds} s`, {
    hint: `the id is free, and no notice was sent: start the agent on the machine, then \`${resume}\`; or wait longer with --timeout`,
  })
}
