import { setTimeout as sleep } from 'node:timers/promises'
import { KeylimeError } from '../../../core/errors.ts'
import type { TenantContext } from '../tenant-context.ts'

const FIRST_PAUSE_MS = 15
const LONGEST_PAUSE_MS = 500

/** Deletes an agent from the verifier and waits until it is gone. @returns false when the verifier did not have it. */
export async function deleteFromVerifier(context: TenantContext, agentId: string): Promise<boolean> {
  const answer = await context.verifier.delete(agentId)
  if (answer !== 202) return answer === 200
  const end = context.clock.monotonic() + context.options.timeoutSeconds * 1000
  for (let pause = FIRST_PAUSE_MS; await context.verifier.agent(agentId); pause = Math.min(pause * 1.4, LONGEST_PAUSE_MS)) {
    if (context.clock.monotonic() + pause > end) {
      throw new KeylimeError('timeout', `agent ${agentId} is still at the verifier after ${context.options.timeoutSeconds} s`, {
        hint: 'the verifier deletes it as soon as it can',
      })
    }
    await sleep(pause)
  }
  return true
}
