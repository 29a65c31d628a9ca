import { KeylimeError } from '../../../core/errors.ts'
import { poll } from '../../../io/poll.ts'
import type { TenantContext } from '../tenant-context.ts'

const PAUSES = { firstPauseMs: 15, longestPauseMs: 500 }

type Used = Pick<TenantContext, 'verifier' | 'clock' | 'options'>

/** Deletes an agent from the verifier and waits until it is gone. @returns false when the verifier did not have it. @throws KeylimeError `timeout`. */
export async function deleteFromVerifier({ verifier, clock, options }: Used, agentId: string): Promise<boolean> {
  const answer = await verifier.delete(agentId)
  if (answer !== 202) return answer === 200
  const { timeoutSeconds } = options
  const gone = await poll({ clock, timeoutSeconds, ...PAUSES }, async () => ((await verifier.agent(agentId)) ? undefined : true))
  if (gone) return true
  throw new KeylimeError('timeout', `agent ${agentId} is still at the verifier after ${timeoutSeconds} s`, {
    hint: 'the verifier deletes it as soon as it can',
  })
}
