import { isAgentId } from '../../../core/api/agent-id.ts'
import { hostPort } from '../../../core/api/host-port.ts'
import type { RegisteredAgent } from '../../../core/api/registrar.ts'
import { KeylimeError } from '../../../core/errors.ts'
import type { FoundBy } from '../events.ts'
import type { TenantOptions } from '../tenant-options.ts'
import type { RegistrarService } from './registrar-service.ts'

export interface FoundAgent {
  readonly agentId: string
  readonly registered: RegisteredAgent
  readonly by: FoundBy
}

/** What says which agent is meant: its id or the beginning of one, or its address. */
export type AskedFor = Pick<TenantOptions, 'agentId' | 'exactId' | 'targetHost' | 'targetPort'>

/** At most this many agents are asked one by one for their address. */
const MAX_LOOKUPS = 1000

/**
 * The agent that is meant, as the registrar knows it: the id given, the only id that starts so, or, without an id, the only agent whose address at the
 * registrar is `-t`. @throws KeylimeError `agent_not_found`, or `usage` when several fit, naming them.
 */
export async function findAgent(registrar: RegistrarService, asked: AskedFor): Promise<FoundAgent> {
  return asked.agentId ? byId(registrar, asked.agentId, asked.exactId === true) : byAddress(registrar, asked)
}

/** The full id of an agent when `text` is one or the only beginning of one; ids of both servers count. */
export async function resolveAgentId(registrar: RegistrarService, asked: AskedFor, ids: () => Promise<string[]>): Promise<string> {
  const text = asked.agentId
  if (!text) {
    if (asked.targetHost) return (await byAddress(registrar, asked)).agentId
    throw new KeylimeError('usage', 'which agent?', { hint: 'give its id with -u (a unique beginning is enough), or its address with -t' })
  }
  checkId(text)
  const known = await ids()
  if (known.includes(text)) return text
  const fitting = known.filter((id) => id.startsWith(text))
  if (fitting.length > 1) throw ambiguous(`"${text}" is the beginning of ${fitting.length} ids`, fitting)
  return fitting[0] ?? text
}

async function byId(registrar: RegistrarService, text: string, isWhole: boolean): Promise<FoundAgent> {
  checkId(text)
  const exact = await registrar.agent(text)
  if (exact) return { agentId: text, registered: exact, by: 'id' }
  const ids = isWhole ? [] : await registrar.agentIds()
  const fitting = ids.filter((id) => id.startsWith(text) && id !== text)
  if (fitting.length > 1) throw ambiguous(`"${text}" is the beginning of ${fitting.length} ids`, fitting)
  const [only] = fitting
  const registered = only ? await registrar.agent(only) : undefined
  if (only && registered) return { agentId: only, registered, by: 'prefix' }
  throw new KeylimeError('agent_not_found', `agent ${text} is not registered at ${addressOf(registrar)}`, {
    hint: 'start the agent and see its log; `keylime tenant reglist` shows who is registered',
  })
}

async function byAddress(registrar: RegistrarService, { targetHost, targetPort }: AskedFor): Promise<FoundAgent> {
  if (!targetHost) throw new KeylimeError('usage', 'which agent?', { hint: 'give its id with -u, or its address with -t' })
  const ids = await registrar.agentIds()
  if (ids.length > MAX_LOOKUPS) throw ambiguous(`${ids.length} agents are registered`, [])
  const all = await Promise.all(ids.map(async (agentId) => ({ agentId, registered: await registrar.agent(agentId) })))
  const fitting = all.filter(
    ({ registered }) => sameHost(registered?.ip, targetHost) && (targetPort === undefined || registered?.port === targetPort),
  )
  const [first, second] = fitting
  if (first?.registered && !second) return { agentId: first.agentId, registered: first.registered, by: 'address' }
  const where = `${targetHost}${targetPort === undefined ? '' : `:${targetPort}`}`
  if (first)
    throw ambiguous(
      `${fitting.length} agents are registered with the address ${where}`,
      fitting.map(({ agentId }) => agentId),
    )
  throw new KeylimeError('agent_not_found', `no agent is registered with the address ${where} at ${addressOf(registrar)}`, {
    hint: '`keylime tenant list` shows the addresses of all; check contact_ip and contact_port in its agent.conf, or give its id with -u',
  })
}

/** Agents of upstream's may register IPv6 with brackets. */
const sameHost = (registered: string | null | undefined, host: string) =>
  registered?.replace(/^\[|\]$/g, '').toLowerCase() === host.toLowerCase()

function checkId(text: string): void {
  if (!isAgentId(text))
    throw new KeylimeError('usage', `"${text}" cannot be the id of an agent`, { hint: 'ids have 1 to 80 letters, digits, "_", "." or "-"' })
}

function ambiguous(text: string, ids: string[]): KeylimeError {
  const shown = ids.slice(0, 10).map((id) => `\n  ${id}`)
  return new KeylimeError('usage', `${text}${shown.length > 0 ? `:${shown.join('')}${ids.length > 10 ? '\n  …' : ''}` : ''}`, {
    hint: 'give more of the id with -u',
  })
}

const addressOf = ({ address: { host, port } }: RegistrarService) => `the registrar ${hostPort(host, port)}`
