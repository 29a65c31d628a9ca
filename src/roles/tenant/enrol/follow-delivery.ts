import { setTimeout as sleep } from 'node:timers/promises'
import { agentInfo } from '../../../core/api/agent-info.ts'
import { isAtLeast } from '../../../core/api/versions.ts'
import { KeylimeError } from '../../../core/errors.ts'
import type { AgentService } from '../services/agent-service.ts'
import type { TenantContext } from '../tenant-context.ts'

const PAUSE_MS = 15

/**
 * What the agent did with the payload, for agents that say so (an addition of ours to `GET /agent/info`): waits until it is unpacked, not until its script ends.
 * @throws KeylimeError `archive_refused` when the agent could not take it.
 */
export async function followDelivery(context: TenantContext, agent: AgentService, agentId: string): Promise<void> {
  if (!isAtLeast(agent.version, '2.2')) return
  const end = context.clock.monotonic() + context.options.timeoutSeconds * 1000
  for (;;) {
    const { results } = await agent.get('/agent/info', {})
    const payload = agentInfo.safeParse(results).data?.payload
    if (!payload) return
    const { state, files, script, error } = payload
    if (state === 'failed') {
      throw new KeylimeError('archive_refused', `agent ${agentId} could not take the payload: ${error ?? 'see its log'}`, {
        hint: 'the key was delivered; mend the payload and use `keylime tenant update`',
      })
    }
    if (state === 'not_allowed')
      context.report({
        type: 'warning',
        text: `agent ${agentId} takes no payload (enable_insecure_payload is off): only the key was derived`,
      })
    if (state === 'unpacked') context.report({ type: 'unpacked', agentId, files, script })
    if (state !== 'unpacking' || context.clock.monotonic() > end) return
    await sleep(PAUSE_MS)
  }
}
