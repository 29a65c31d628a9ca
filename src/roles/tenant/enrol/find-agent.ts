import { isAgentId } from '../../../core/api/agent-id.ts'
import { hostPort } from '../../../core/api/host-port.ts'
import type { RegisteredAgent } from '../../../core/api/registrar.ts'
import { KeylimeError } from '../../../core/errors.ts'
import type { FoundBy } from '../events.ts'
import type { TenantContext } from '../tenant-context.ts'

export interface FoundAgent {
  readonly agentId: string
  readonly registered: RegisteredAgent
  readonly by: FoundBy
}

/** At most this many agents are asked one by one for their address. */
const MAX_LOOKUPS = 1000

/**
 * The agent that is meant, as the registrar knows it: the id given, the only id that starts so, or, without an id, the only agent whose address at the
 * registrar is `-t`. @throws KeylimeError `agent_not_found`, or `usage` when several fit, naming them.
 */
export async function findAgent(context: TenantContext): Promise<FoundAgent> {
  const { agentId } = context.options
  if (agentId) return byId(context, agentId)
  return byAddress(context)
}

/** The full id of an agent when `text` is one or the only beginning of one; ids of both servers count. */
export async function resolveAgentId(context: TenantContext, ids: () => Promise<string[]>): Promise<string> {
  const text = context.options.agentId
  if (!text) {
    if (context.options.targetHost) return (await byAddress(context)).agentId
    throw new KeylimeError('usage', 'which agent?', { hint: 'give its id with -u (a unique beginning is enough), or its address with -t' })
  }
  checkId(text)
  const known = await ids()
  if (known.includes(text)) return text
  const fitting = known.filter((id) => id.startsWith(text))
  if (fitting.length > 1) throw ambiguous(`"${text}" is the beginning of ${fitting.length} ids`, fitting)
  return fitting[0] ?? text
}

async function byId(context: TenantContext, text: string): Promise<FoundAgent> {
  checkId(text)
  const exact = await context.registrar.agent(text)
  if (exact) return { agentId: text, registered: exact, by: 'id' }
  const ids = context.options.exactId ? [] : await context.registrar.agentIds()
  const fitting = ids.filter((id) => id.startsWith(text) && id !== text)
  if (fitting.length > 1) throw ambiguous(`"${text}" is the beginning of ${fitting.length} ids`, fitting)
  const [only] = fitting
  const registered = only ? await context.registrar.agent(only) : undefined
  if (only && registered) return { agentId: only, registered, by: 'prefix' }
  throw new KeylimeError('agent_not_found', `agent ${text} is not registered at ${addressOf(context)}`, {
    hint: 'start the agent and see its log; `keylime tenant reglist` shows who is registered',
  })
}

async function byAddress(context: TenantContext): Promise<FoundAgent> {
  const { targetHost, targetPort } = context.options
  if (!targetHost) throw new KeylimeError('usage', 'which agent?', { hint: 'give its id with -u, or its address with -t' })
  const ids = await context.registrar.agentIds()
  if (ids.length > MAX_LOOKUPS) throw ambiguous(`${ids.length} agents are registered`, [])
  const all = await Promise.all(ids.map(async (agentId) => ({ agentId, registered: await context.registrar.agent(agentId) })))
  const fitting = all.filter(
    ({ registered }) => registered?.ip === targetHost && (targetPort === undefined || registered.port === targetPort),
  )
  const [first, second] = fitting
  if (first?.registered && !second) return { agentId: first.agentId, registered: first.registered, by: 'address' }
  const where = `${targetHost}${targetPort === undefined ? '' : `:${targetPort}`}`
  if (first)
    throw ambiguous(
      `${fitting.length} agents are registered with the address ${where}`,
      fitting.map(({ agentId }) => agentId),
    )
  throw new KeylimeError('agent_not_found', `no agent is registered with the address ${where} at ${addressOf(context)}`, {
    hint: 'check contact_ip and contact_port in its agent.conf, or give its id with -u',
  })
}

function checkId(text: string): void {
  if (!isAgentId(text))
    throw new KeylimeError('usage', `"${text}" cannot be the id of an agent`, { hint: 'ids have 1 to 80 letters, digits, "_", "." or "-"' })
}

function ambiguous(text: string, ids: string[]): KeylimeError {
  const shown = ids.slice(0, 10).map((id) => `\n  ${id}`)
  return new KeylimeError('usage', `${text}${shown.length > 0 ? `:${shown.join('')}${ids.length > 10 ? '\n  …' : ''}` : ''}`, {
    hint: 'say which with -u',
  })
}

const addressOf = ({ registrarAddress: { host, port } }: TenantContext) => `the registrar ${hostPort(host, port)}`
