import { isAgentId } from '../../../core/api/agent-id.ts'
import { hostPort } from '../../../core/api/host-port.ts'
import type { RegisteredAgent } from '../../../core/api/registrar.ts'
import { KeylimeError } from '../../../core/errors.ts'
import type { FoundBy } from '../events.ts'
import type { TenantOptions } from '../tenant-options.ts'
import type { RegistrarService } from './registrar-service.ts'
import type { VerifierService } from './verifier-service.ts'

export interface FoundAgent {
  readonly agentId: string
  readonly registered: RegisteredAgent
  readonly by: FoundBy
}

/** What says which agent is meant: its id or the beginning of one, or its address. */
export type AskedFor = Pick<TenantOptions, 'agentId' | 'exactId' | 'targetHost' | 'targetPort'>

/** At most this many agents are asked one by one for their address. */
const MAX_LOOKUPS = 1000

/** Both servers: an id is short for another only where neither knows a second one. */
export interface Servers {
  readonly registrar: RegistrarService
  readonly verifier: VerifierService
}

/**
 * The agent that is meant, as the registrar knows it: the id given, the only id that starts so, or, without an id, the only agent whose address at the
 * registrar is `-t`. @throws KeylimeError `agent_not_found`, or `usage` when several fit, naming them.
 */
export async function findAgent(servers: Servers, asked: AskedFor): Promise<FoundAgent> {
  const { registrar } = servers
  const text = asked.agentId
  if (!text) return byAddress(registrar, asked)
  checkId(text)
  const exact = await registrar.agent(text)
  if (exact) return { agentId: text, registered: exact, by: 'id' }
  const whole = asked.exactId ? text : await wholeId(servers, text)
  const registered = whole === text ? undefined : await registrar.agent(whole)
  if (registered) return { agentId: whole, registered, by: 'prefix' }
  throw notRegistered(registrar, whole, await isRevoked(registrar, whole))
}

/** The full id of an agent when the text given is one, or the only beginning of one; what no server knows is taken as it is. */
export async function resolveAgentId(servers: Servers, asked: AskedFor): Promise<string> {
  const text = asked.agentId
  if (!text) {
    if (asked.targetHost) return (await byAddress(servers.registrar, asked)).agentId
    throw new KeylimeError('usage', 'which agent?', { hint: 'give its id with -u (a unique beginning is enough), or its address with -t' })
  }
  checkId(text)
  return asked.exactId ? text : wholeId(servers, text)
}

/**
 * The one rule for beginnings of ids, whatever the word: the only id of registrar and verifier together that begins so. An id that is there, or was revoked, is
 * itself, however many others begin with it. @throws KeylimeError `usage` for the beginning of several.
 */
async function wholeId({ registrar, verifier }: Servers, text: string): Promise<string> {
  const known = new Set((await Promise.all([registrar.agentIds(), verifier.agentIds('')])).flat())
  if (known.has(text) || (await isRevoked(registrar, text))) return text
  const fitting = [...known].filter((id) => id.startsWith(text)).toSorted()
  if (fitting.length > 1) throw ambiguous(`"${text}" is the beginning of ${fitting.length} ids`, fitting)
  return fitting[0] ?? text
}

async function isRevoked(registrar: RegistrarService, agentId: string): Promise<boolean> {
  return (await registrar.revoked().catch(() => null))?.some((mark) => mark.agent_id === agentId) === true
}

function notRegistered(registrar: RegistrarService, agentId: string, isRevokedOne: boolean): KeylimeError {
  if (isRevokedOne)
    return new KeylimeError('agent_not_found', `agent ${agentId} was revoked by an operator and is not registered`, {
      hint: `\`keylime tenant forget ${agentId}\` lets it register again`,
    })
  return new KeylimeError('agent_not_found', `agent ${agentId} is not registered at ${addressOf(registrar)}`, {
    hint: 'start the agent and see its log; `keylime tenant reglist` shows who is registered',
  })
}

async function byAddress(registrar: RegistrarService, { targetHost, targetPort }: AskedFor): Promise<FoundAgent> {
  if (!targetHost) throw new KeylimeError('usage', 'which agent?', { hint: 'give its id with -u, or its address with -t' })
  const fitting = (await registeredAgents(registrar)).filter(({ registered }) => isAt(registered, targetHost, targetPort))
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

/** All that are registered, asked one by one. @throws KeylimeError `usage` for more than can be asked. */
export async function registeredAgents(
  registrar: RegistrarService,
): Promise<{ agentId: string; registered: RegisteredAgent | undefined }[]> {
  const ids = await registrar.agentIds()
  if (ids.length > MAX_LOOKUPS) throw ambiguous(`${ids.length} agents are registered`, [])
  return Promise.all(ids.map(async (agentId) => ({ agentId, registered: await registrar.agent(agentId) })))
}

/** Whether an agent registered with this address; any port when none is asked for. */
export const isAt = (registered: RegisteredAgent | undefined, host: string, port: number | undefined): boolean =>
  sameHost(registered?.ip, host) && (port === undefined || registered?.port === port)

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
