import { type AgentStatus, statusOf } from '../../../core/api/agent-status.ts'
import type { RegisteredAgent } from '../../../core/api/registrar.ts'
import { BY_URGENCY, type StateWord, stateWord } from '../../../core/attestation/state-word.ts'
import { KeylimeError } from '../../../core/errors.ts'
import { broughtProgress } from '../delivery/delivery-progress.ts'
import { payloadFate } from '../delivery/payload-fate.ts'
import { payloadOnAgent } from '../enrol/payload-on-agent.ts'
import type { TenantContext } from '../tenant-context.ts'
import { comesByOf, type Machine, machineOf } from './machine.ts'

/** Which machines a list shows; undefined and empty: all. */
export interface MachineFilter {
  readonly state?: StateWord | undefined
  /** Machines that must prove this policy. */
  readonly policy?: string | undefined
  /** Each is the beginning of an id, or part of a name or an address; one that fits is enough. */
  readonly words: readonly string[]
  /** Ask the machines what became of their payloads. */
  readonly asks: boolean
}

export interface MachineList {
  /** Of which these were chosen. */
  readonly known: number
  readonly machines: readonly Machine[]
  /** As the verifier says it, of the machines in the list. */
  readonly agents: Readonly<Record<string, AgentStatus>>
  /** Ids that only the registrar knows, of the machines in the list. */
  readonly notEnrolled: readonly string[]
}

/** Registrars are asked machine by machine: beyond these the addresses are those of the verifier. */
const MAX_LOOKUPS = 1000
const AT_ONCE = 32

/** Every machine that somebody knows, those that need somebody first. @throws KeylimeError `agent_not_found` when words are given and no machine matches one of them. */
export async function listMachines(context: TenantContext, filter: MachineFilter): Promise<MachineList> {
  const { verifier, registrar, options, report } = context
  const [agents, registeredIds, marks] = await Promise.all([
    verifier.agentStatuses(options.verifierId ?? ''),
    registrar.agentIds(),
    registrar.revoked(),
  ])
  const known = new Set(registeredIds)
  const revoked = new Map(marks?.map((mark) => [mark.agent_id, mark.revoked_at]))
  const elsewhere = options.verifierId ? [] : [...registeredIds, ...revoked.keys()] // nobody knows which verifier these would have
  const all = [...new Set([...Object.keys(agents), ...elsewhere])]
  const ids = all.filter((id) => mayFit(filter, statusOf(agents, id), revoked.has(id) && !known.has(id)))
  const looked = new Set(ids.filter((id) => known.has(id)).slice(0, MAX_LOOKUPS))
  if (looked.size === MAX_LOOKUPS) report({ type: 'warning', text: `only ${MAX_LOOKUPS} machines were looked up at the registrar` })
  const machines = await inTurn(ids, async (agentId) => {
    const registered = looked.has(agentId) ? await registrar.agent(agentId) : undefined
    return {
      machine: machineOf({ agentId, registered, status: statusOf(agents, agentId), payload: null, revokedAt: revoked.get(agentId) }),
      registered,
    }
  })
  const fitting = machines.filter(({ machine }) => hasWord(filter.words, machine))
  const missing = filter.words.filter((word) => !machines.some(({ machine }) => hasWord([word], machine)))
  if (missing.length > 0)
    throw new KeylimeError('agent_not_found', `no machine has "${missing[0]}" in its id, name or address`, {
      hint: '`keylime tenant list` shows them all',
    })
  const whole = await inTurn(fitting, ({ machine, registered }) => withPayload(context, { machine, registered, agents, filter }))
  return {
    known: new Set([...all, ...known]).size,
    machines: whole.toSorted((a, b) => rank(a) - rank(b) || (nameOf(a) < nameOf(b) ? -1 : 1)),
    agents: Object.fromEntries(whole.flatMap(({ agentId }) => (Object.hasOwn(agents, agentId) ? [[agentId, agents[agentId]!]] : []))),
    notEnrolled: whole.flatMap(({ agentId, state }) => (state === 'registered' ? [agentId] : [])),
  }
}

const rank = ({ state }: Machine) => BY_URGENCY.indexOf(state)
const nameOf = ({ name, agentId }: Machine) => name ?? agentId

function mayFit({ state, policy }: MachineFilter, status: AgentStatus | undefined, isRevoked: boolean): boolean {
  const word = status ? stateWord(status) : isRevoked ? 'revoked' : 'registered'
  return (
    (state === undefined || word === state) &&
    (policy === undefined || [status?.runtime_policy_name, status?.mb_policy_name].includes(policy))
  )
}

function hasWord(words: readonly string[], { agentId, name, address, movedTo }: Machine): boolean {
  if (words.length === 0) return true
  const texts = [name, address, movedTo].flatMap((text) => (text ? [text.toLowerCase()] : []))
  return words.some((word) => agentId.startsWith(word) || texts.some((text) => text.includes(word.toLowerCase())))
}

interface Looked {
  readonly machine: Machine
  readonly registered: RegisteredAgent | undefined
  readonly agents: Readonly<Record<string, AgentStatus>>
  readonly filter: MachineFilter
}

/** Only a machine that answers the verifier, and was given something, is asked; one that brings its evidence has said it there. */
async function withPayload(context: TenantContext, { machine, registered, agents, filter }: Looked): Promise<Machine> {
  const status = statusOf(agents, machine.agentId)
  if (!status) return machine
  if (comesByOf(status) === 'push') return { ...machine, payload: payloadFate(status, broughtProgress(status)) }
  const isAsked = filter.asks && registered !== undefined && status.v_released === true && machine.state !== 'unreachable'
  const told = isAsked ? await payloadOnAgent(context, { agentId: machine.agentId, registered, by: 'id' }) : undefined
  return { ...machine, payload: payloadFate(status, told) }
}

/** Side by side, but not all at once; in the order given. */
async function inTurn<T, R>(items: readonly T[], work: (item: T) => Promise<R>): Promise<R[]> {
  const results: R[] = []
  const waiting = items.entries()
  const worker = async () => {
    for (const [i, item] of waiting) results[i] = await work(item)
  }
  await Promise.all(Array.from({ length: Math.min(AT_ONCE, items.length) }, worker))
  return results
}
