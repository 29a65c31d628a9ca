import { agentInfo, type DeliveryProgress } from '../../../core/api/agent-info.ts'
import { isKeylimeError } from '../../../core/errors.ts'
import { AgentService } from '../services/agent-service.ts'
import type { FoundAgent } from '../services/find-agent.ts'
import type { TenantContext } from '../tenant-context.ts'
import { agentTarget } from './agent-target.ts'

/** Asking is an extra: an agent that is slow must not hold up what the servers said. */
const PATIENCE_SECONDS = 3

/** What an agent says of its payload and of the script in it; null when it does not say, undefined when it cannot be asked. */
export async function payloadOnAgent(context: TenantContext, found: FoundAgent): Promise<DeliveryProgress | null | undefined> {
  const quiet = { ...context, report: () => undefined }
  try {
    const { host, port, pin } = agentTarget(quiet, found)
    const client = context.openAgent(host, port, pin, PATIENCE_SECONDS)
    const agent = await AgentService.connect(client, context.options.agentApiVersion ?? '')
    const { status, results } = await agent.get('/agent/info', {})
    return status === 200 ? ((agentInfo.safeParse(results).data?.payload ?? null) as DeliveryProgress | null) : null
  } catch (error) {
    if (isKeylimeError(error)) return undefined
    throw error
  }
}

/** The same in words; null for nothing to tell. */
export function payloadText(payload: DeliveryProgress | null | undefined): string | null {
  if (!payload) return payload === null ? null : 'unknown: the agent does not answer'
  const { state, files, script, script_error: scriptError, error } = payload
  if (state === 'none') return 'none since the agent started'
  if (state === 'unpacking') return 'is being unpacked'
  if (state === 'key_only') return 'only the key was delivered'
  if (state === 'not_allowed') return 'not taken (enable_insecure_payload is off)'
  if (state === 'failed') return `could not be taken: ${error ?? 'see the log of the agent'}`
  const scripts = {
    none: '',
    running: ', its script is running',
    done: ', its script ended well',
    failed: `, its script failed: ${scriptError ?? 'see the log of the agent'}`,
  }
  const what = files === 0 ? 'unpacked before the agent restarted' : `${files === 1 ? '1 file' : `${files} files`} unpacked`
  return `${what}${scripts[script]}`
}
