import { isAgentId } from '../../../core/api/agent-id.ts'
import { labelsOf, readMetaData } from '../../../core/api/enrolment-metadata.ts'
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

/** What says which agent is meant: its id, the beginning of one, the name that an operator gave it, or its address. */
export type AskedFor = Pick<TenantOptions, 'agentId' | 'exactId' | 'targetHost' | 'targetPort'>

/** At most this many agents are asked one by one for their address. */
const MAX_LOOKUPS = 1000

/** Both servers: an id is short for another only where neither knows a second one. */
export interface Servers {
  readonly registrar: RegistrarService
  readonly verifier: VerifierService
}

/**
 * The agent that is meant, as the registrar knows it: the id given, the only one whose id starts so or whose name it is, or, without an id, the only agent whose
 * address at the registrar is `-t`. @throws KeylimeError `agent_not_found`, or `usage` when several fit, naming them.
 */
export async function findAgent(servers: Servers, asked: AskedFor): Promise<FoundAgent> {
  const { registrar } = servers
  const text = asked.agentId
  if (!text) return byAddress(registrar, asked)
  const exact = isAgentId(text) ? await registrar.agent(text) : undefined
  if (exact) return { agentId: text, registered: exact, by: 'id' }
  const { agentId, by } = await resolveAgent(servers, asked)
  const registered = agentId === text ? undefined : await registrar.agent(agentId)
  if (registered) return { agentId, registered, by }
  throw await notRegistered(registrar, agentId)
}

export interface ResolvedAgent {
  readonly agentId: string
  readonly by: FoundBy
}

/** The full id of an agent when the text given is one, the only beginning of one, or a name; what no server knows is taken as it is. */
export const resolveAgentId = async (servers: Servers, asked: AskedFor): Promise<string> => (await resolveAgent(servers, asked)).agentId

/** The same, and by what it was found. */
export async function resolveAgent(servers: Servers, asked: AskedFor): Promise<ResolvedAgent> {
  const text = asked.agentId
  if (!text) {
    if (asked.targetHost) return byAddress(servers.registrar, asked)
    throw new KeylimeError('usage', 'which agent?', {
      hint: 'give its id (a unique beginning is enough) or its name with -u, or its address with -t',
    })
  }
  if (asked.exactId) checkId(text)
  return asked.exactId ? { agentId: text, by: 'id' } : wholeId(servers, text)
}

/**
 * The one rule for beginnings of ids and for names, whatever the word: the only machine of registrar and verifier together whose id begins so, or that an operator
 * named so. An id that is enrolled, or was revoked, is itself, whatever others are named; one that is only registered is not, because anybody may register under a name, and a thief would
 * have another machine revoked than the stolen one. Host names do not count for that reason, too. @throws KeylimeError `usage` for several, naming them.
 */
async function wholeId({ registrar, verifier }: Servers, text: string): Promise<ResolvedAgent> {
  const [registered, enrolled] = await Promise.all([registrar.agentIds(), verifier.agentIds('')])
  if (enrolled.includes(text) || (isAgentId(text) && (await isRevoked(registrar, text)))) return { agentId: text, by: 'id' }
  const named = await namedSo(verifier, text)
  if (registered.includes(text)) {
    refuseBoth(text, named)
    return { agentId: text, by: 'id' }
  }
  const begun = isAgentId(text) ? [...new Set([...registered, ...enrolled])].filter((id) => id.startsWith(text)) : []
  const fitting = [...new Set([...named, ...begun])].toSorted()
  if (fitting.length > 1) throw ambiguous(`"${text}" ${meaningOf(named, begun)}`, fitting)
  const [only] = fitting
  if (only !== undefined) return { agentId: only, by: named.length > 0 ? 'name' : 'prefix' }
  if (named.length === 0) checkId(text)
  return { agentId: text, by: 'id' }
}

/** Enrolled machines that an operator gave this name. */
const namedSo = async (verifier: VerifierService, text: string): Promise<string[]> =>
  Object.entries(await verifier.agentStatuses('')).flatMap(([id, status]) =>
    labelsOf(readMetaData(status.meta_data)).name === text ? [id] : [],
  )

/** @throws KeylimeError `usage` for the id of a machine that is only registered, when others have it for their name. */
function refuseBoth(text: string, named: readonly string[]): void {
  if (named.length === 0) return
  throw new KeylimeError(
    'usage',
    `"${text}" is the id of a machine that is registered and not enrolled, and the name of ${named.slice(0, 10).join(', ')}`,
    {
      hint: 'give the id of the one that you mean; anyone may register under such an id, and `keylime tenant list` shows both',
    },
  )
}

function meaningOf(named: readonly string[], begun: readonly string[]): string {
  const parts = [
    named.length > 0 && `is the name of ${named.length === 1 ? 'one machine' : `${named.length} machines`}`,
    begun.length > 0 && `is the beginning of ${begun.length === 1 ? 'an id' : `${begun.length} ids`}`,
  ]
  return parts.filter(Boolean).join(', and ')
}

async function isWaiting(registrar: RegistrarService, agentId: string): Promise<boolean> {
  const found = await registrar.waiting().catch(() => null)
  return found?.waiting.some((machine) => machine.agent_id === agentId) === true
}

async function isRevoked(registrar: RegistrarService, agentId: string): Promise<boolean> {
  return (await registrar.revoked().catch(() => null))?.some((mark) => mark.agent_id === agentId) === true
}

async function notRegistered(registrar: RegistrarService, agentId: string): Promise<KeylimeError> {
  if (await isWaiting(registrar, agentId))
    return new KeylimeError('agent_not_found', `agent ${agentId} waits for the approval of an operator and is not registered`, {
      hint: '`keylime tenant pending` shows its TPM, `keylime tenant approve` registers it',
    })
  if (await isRevoked(registrar, agentId))
    return new KeylimeError('agent_not_found', `agent ${agentId} was revoked by an operator and is not registered`, {
      hint: `\`keylime tenant forget ${agentId}\` lets it register again`,
    })
  return new KeylimeError('agent_not_found', `agent ${agentId} is not registered at ${addressOf(registrar)}`, {
    hint: 'start the agent and look at its log; `keylime tenant reglist` shows who is registered',
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
    throw new KeylimeError('usage', `"${text}" cannot be the id of an agent, and no machine has that name`, {
      hint: 'ids have 1 to 80 letters, digits, "_", "." or "-"; `keylime tenant list` shows ids and names',
    })
}

function ambiguous(text: string, ids: string[]): KeylimeError {
  const shown = ids.slice(0, 10).map((id) => `\n  ${id}`)
  return new KeylimeError('usage', `${text}${shown.length > 0 ? `:${shown.join('')}${ids.length > 10 ? '\n  …' : ''}` : ''}`, {
    hint: 'give more of the id with -u',
  })
}

const addressOf = ({ address: { host, port } }: RegistrarService) => `the registrar ${hostPort(host, port)}`
