import { agentInfo, type DeliveryProgress } from '../../../core/api/agent-info.ts'
import { isAtLeast } from '../../../core/api/versions.ts'
import { KeylimeError } from '../../../core/errors.ts'
import { poll } from '../../../io/poll.ts'
import type { AgentService } from '../services/agent-service.ts'
import type { TenantContext } from '../tenant-context.ts'
import type { TenantOptions } from '../tenant-options.ts'

const PAUSES = { firstPauseMs: 15, longestPauseMs: 15 }

type Used = Pick<TenantContext, 'clock' | 'options' | 'report'>

/**
 * What the agent did with the payload, for agents that say so (an addition of ours to `GET /agent/info`): waits until it is unpacked, and with `waitScript`
 * until its script has ended. @throws KeylimeError `archive_refused` when the agent could not take it, `script_failed`, `timeout` when the script runs on.
 */
export async function followDelivery({ clock, options, report }: Used, agent: AgentService, agentId: string): Promise<void> {
  if (!isAtLeast(agent.version, '2.2')) return
  const ended = await poll({ clock, timeoutSeconds: options.timeoutSeconds, ...PAUSES }, async () => {
    const { results } = await agent.get('/agent/info', {})
    const payload = agentInfo.safeParse(results).data?.payload ?? null
    if (payload === null || !isAtIt(payload as DeliveryProgress, options)) return payload as DeliveryProgress | null
    if (payload.script === 'running') report({ type: 'working', text: 'waiting for the script of the payload' })
    return undefined
  })
  if (ended === undefined) throw stillAtIt(agentId, options.timeoutSeconds)
  if (ended !== null) tellDelivery({ options, report }, agentId, ended) // null: an agent that does not say
}

/** Whether a machine has not done all with a payload that is waited for. */
export const isAtIt = ({ state, script }: DeliveryProgress, { waitScript }: Pick<TenantOptions, 'waitScript'>): boolean =>
  state === 'unpacking' || (script === 'running' && waitScript === true)

/** Tells what became of a payload. @throws KeylimeError `archive_refused` when it could not be taken, `script_failed`. */
export function tellDelivery({ options, report }: Pick<Used, 'options' | 'report'>, agentId: string, ended: DeliveryProgress): void {
  const { state, files, script, error } = ended
  if (state === 'failed') throw notTaken(agentId, error)
  if (state === 'not_allowed')
    report({
      type: 'warning',
      text: `agent ${agentId} does not accept payloads (enable_insecure_payload is off): only the key was derived`,
    })
  if (state === 'unpacked') report({ type: 'unpacked', agentId, files, script })
  if (script === 'failed' && options.waitScript) throw scriptFailed(agentId, ended.script_error)
}

export const stillAtIt = (agentId: string, seconds: number) =>
  new KeylimeError('timeout', `agent ${agentId} has the payload, but was not done with it within ${seconds} s`, {
    hint: `its script is still running; \`keylime tenant status -u ${agentId}\` shows how it ended. Wait longer with --timeout, or not at all with --no-wait-script`,
  })

const scriptFailed = (agentId: string, reason: string | null | undefined) =>
  new KeylimeError('script_failed', `the payload is on agent ${agentId}, but its script failed: ${reason ?? 'see the log of the agent'}`, {
    hint: 'its output is in the agent’s log; fix the script, then run `keylime tenant update`',
  })

const notTaken = (agentId: string, error: DeliveryProgress['error'] | undefined) =>
  new KeylimeError('archive_refused', `agent ${agentId} could not take the payload: ${error ?? 'see its log'}`, {
    hint: 'the key was delivered; fix the payload, then run `keylime tenant update`',
  })
