import { agentInfo, type DeliveryProgress } from '../../../core/api/agent-info.ts'
import { isAtLeast } from '../../../core/api/versions.ts'
import { KeylimeError } from '../../../core/errors.ts'
import { poll } from '../../../io/poll.ts'
import type { AgentService } from '../services/agent-service.ts'
import type { TenantContext } from '../tenant-context.ts'

const PAUSES = { firstPauseMs: 15, longestPauseMs: 15 }

type Used = Pick<TenantContext, 'clock' | 'options' | 'report'>

/**
 * What the agent did with the payload, for agents that say so (an addition of ours to `GET /agent/info`): waits until it is unpacked, not until its script ends.
 * @throws KeylimeError `archive_refused` when the agent could not take it.
 */
export async function followDelivery({ clock, options, report }: Used, agent: AgentService, agentId: string): Promise<void> {
  if (!isAtLeast(agent.version, '2.2')) return
  const ended = await poll({ clock, timeoutSeconds: options.timeoutSeconds, ...PAUSES }, async () => {
    const { results } = await agent.get('/agent/info', {})
    const payload = agentInfo.safeParse(results).data?.payload ?? null
    return payload?.state === 'unpacking' ? undefined : payload
  })
  if (!ended) return
  const { state, files, script, error } = ended
  if (state === 'failed') throw notTaken(agentId, error)
  if (state === 'not_allowed')
    report({ type: 'warning', text: `agent ${agentId} takes no payload (enable_insecure_payload is off): only the key was derived` })
  if (state === 'unpacked') report({ type: 'unpacked', agentId, files, script })
}

const notTaken = (agentId: string, error: DeliveryProgress['error'] | undefined) =>
  new KeylimeError('archive_refused', `agent ${agentId} could not take the payload: ${error ?? 'see its log'}`, {
    hint: 'the key was delivered; mend the payload and use `keylime tenant update`',
  })
