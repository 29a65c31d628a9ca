import { isAgentId } from '../../../core/api/agent-id.ts'
import { type AgentStatus, statusOf } from '../../../core/api/agent-status.ts'
import { parseMachineName } from '../../../core/api/enrolment-metadata.ts'
import { readHost } from '../../../core/api/host.ts'
import { type StateWord, stateWord } from '../../../core/attestation/state-word.ts'
import { isKeylimeError, KeylimeError } from '../../../core/errors.ts'
import { cutText } from '../../../core/verdict/bounded-text.ts'
import { readMachineList } from '../../../io/files/machine-list.ts'
import { readText } from '../../../io/files/read-file.ts'
import { isAt, registeredAgents } from '../services/find-agent.ts'
import type { TenantContext } from '../tenant-context.ts'
import type { TenantOptions } from '../tenant-options.ts'
import { fileOfList } from './files-of-list.ts'
import { type FleetWord, isChosen, type Selection } from './selection.ts'

/** One machine of a fleet, and what is done with it alone. */
export interface FleetMachine {
  /** As the operator named it. */
  readonly name: string
  readonly options: Partial<TenantOptions>
  /** Why nothing is done; undefined when something is. */
  readonly skip: string | undefined
}

/** Options that a list may name for each machine, by their long names. */
const COLUMNS = {
  targethost: 'targetHost',
  targetport: 'targetPort',
  uuid: 'agentId',
  cv_targethost: 'cvTargetHost',
  name: 'name',
  file: 'file',
  key: 'keyFile',
  payload: 'payloadFile',
  tpm_policy: 'tpmPolicy',
  'tpm-policy': 'tpmPolicy',
  'runtime-policy': 'runtimePolicy',
  'runtime-policy-name': 'runtimePolicyName',
  'mb-policy': 'mbPolicy',
  'mb-policy-name': 'mbPolicyName',
  'push-model': 'pushModel',
} as const satisfies Record<string, keyof TenantOptions>

const MAX_WORD = 100

type Enrolled = Readonly<Record<string, AgentStatus>>

/** The machines that are meant, each with a reason where nothing is to be done. @throws KeylimeError `usage`, `malformed`, `agent_not_found` when there is none. */
export async function chooseMachines(context: TenantContext, word: FleetWord, selection: Selection): Promise<FleetMachine[]> {
  const enrolled = await context.verifier.agentStatuses(context.options.verifierId ?? '')
  if (isChosen(selection)) return chosen(context, { word, selection, enrolled })
  const named = await withIds(context, selection.from === undefined ? namedOf(selection) : await listed(selection.from))
  const twice = named.find(({ name }, i) => named.findIndex((other) => other.name === name) !== i)
  if (twice) throw new KeylimeError('usage', `${twice.name} is named twice`)
  return named.map((machine) => ({ ...machine, skip: doneAlready(word, machine.options.agentId, enrolled) }))
}

type Named = Omit<FleetMachine, 'skip'>

const namedOf = ({ ids, hosts }: Selection): Named[] => [
  ...ids.map((agentId) => ({ name: agentId, options: { agentId } })),
  ...hosts.map((targetHost) => ({ name: targetHost, options: { targetHost } })),
]

async function listed(file: string): Promise<Named[]> {
  const text = await readText(file, { what: 'the list of machines', hint: 'give the path of a CSV or YAML file' })
  const named: Named[] = []
  for (const { line, values } of readMachineList(text, file)) {
    const name = values['uuid'] ?? values['targethost']
    if (!name) throw new KeylimeError('malformed', `line ${line} of ${file} has neither address nor id`)
    requireForms(values, { file, line })
    const options: Record<string, string | number | boolean> = {}
    for (const [name, value] of Object.entries(values))
      options[columnOf(name, { file, line })] = await optionOf(name, value, { file, line })
    named.push({ name, options: { ...options, ...(values['uuid'] ? { exactId: true } : {}) } }) // nobody looks at what a beginning means in a list
  }
  return named
}

/** A file that is no list has words that nobody can be called by: said before anything is done. */
function requireForms(values: Readonly<Record<string, string>>, { file, line }: { file: string; line: number }): void {
  const { uuid, targethost, cv_targethost } = values
  if (uuid !== undefined && !isAgentId(uuid))
    throw new KeylimeError('malformed', `line ${line} of ${file}: ${JSON.stringify(uuid)} cannot be the id of a machine`)
  for (const host of [targethost, cv_targethost]) {
    const reading = host === undefined ? {} : readHost(host)
    if ('defect' in reading)
      throw new KeylimeError('malformed', `line ${line} of ${file}: the address ${JSON.stringify(host)} ${reading.defect}`)
  }
}

function columnOf(name: string, { file, line }: { file: string; line: number }): keyof TenantOptions {
  if (Object.hasOwn(COLUMNS, name)) return COLUMNS[name as keyof typeof COLUMNS]
  throw new KeylimeError('malformed', `line ${line} of ${file}: "${cutText(name, MAX_WORD)}" is not a column of a list of machines`, {
    hint: `columns are address, id, ${Object.keys(COLUMNS).slice(2).join(', ')}`,
  })
}

/** What stands in a column, checked. */
async function optionOf(column: string, text: string, where: { file: string; line: number }): Promise<string | number | boolean> {
  if (column === 'targetport') return portOf(text, where)
  if (column === 'push-model') return truthOf(text, where)
  return column === 'name' ? nameOf(text, where) : fileOfList(column, text, where)
}

function nameOf(text: string, { file, line }: { file: string; line: number }): string {
  try {
    return parseMachineName(text)
  } catch (cause) {
    if (!isKeylimeError(cause)) throw cause
    throw new KeylimeError('malformed', `line ${line} of ${file}: ${cause.message}`, {
      cause: cause.cause,
      ...(cause.hint ? { hint: cause.hint } : {}),
    })
  }
}

function truthOf(text: string, { file, line }: { file: string; line: number }): boolean {
  const words: Record<string, boolean> = { true: true, yes: true, false: false, no: false }
  const word = text.toLowerCase()
  if (Object.hasOwn(words, word)) return words[word] as boolean
  throw new KeylimeError('malformed', `line ${line} of ${file}: push-model is true or false, not "${cutText(text, MAX_WORD)}"`)
}

function portOf(text: string, { file, line }: { file: string; line: number }): number {
  const port = Number(text)
  if (Number.isInteger(port) && port > 0 && port < 65_536) return port
  throw new KeylimeError('malformed', `line ${line} of ${file}: "${cutText(text, MAX_WORD)}" is not a port`)
}

interface Question {
  readonly word: FleetWord
  readonly selection: Selection
  readonly enrolled: Enrolled
}

async function chosen(context: TenantContext, { word, selection, enrolled }: Question): Promise<FleetMachine[]> {
  const fitting = selection.state === 'revoked' ? await revokedOnes(context, word) : await standing(context, { word, selection, enrolled })
  if (fitting.length === 0)
    throw new KeylimeError('agent_not_found', 'no machine matches', { hint: '`keylime tenant list` shows them all' })
  return fitting.map((agentId) => ({
    name: agentId,
    options: { agentId, exactId: true },
    skip: doneAlready(word, agentId, enrolled) ?? notMeant(context.options, { word, selection, status: statusOf(enrolled, agentId) }),
  }))
}

async function standing(context: TenantContext, { word, selection, enrolled }: Question): Promise<string[]> {
  const registered = reachesRegistered(word, selection) ? await context.registrar.agentIds() : []
  const ids = [...new Set([...Object.keys(enrolled), ...registered])].toSorted()
  return ids.filter((id) => fits(selection, statusOf(enrolled, id)))
}

/** Nothing but `forget` can be done with them. */
async function revokedOnes({ registrar }: TenantContext, word: FleetWord): Promise<string[]> {
  if (word !== 'forget')
    throw new KeylimeError('usage', '--state revoked is for `forget`, which lets machines register again', {
      hint: '`keylime tenant list --state revoked` shows them',
    })
  return ((await registrar.revoked()) ?? []).map((mark) => mark.agent_id).toSorted()
}

/** `add` is for those that the registrar alone knows, and so may be what ends a registration. */
const reachesRegistered = (word: FleetWord, { state }: Selection) =>
  word === 'add' || word === 'forget' || word === 'revoke' || state === 'registered'

function fits({ policy, state }: Selection, status: AgentStatus | undefined): boolean {
  const word: StateWord = status ? stateWord(status) : 'registered'
  const names = [status?.runtime_policy_name, status?.mb_policy_name]
  return (state === undefined || word === state) && (policy === undefined || names.includes(policy))
}

/** What an earlier run did is left: the same command goes on where it stopped. */
function doneAlready(word: FleetWord, agentId: string | undefined, enrolled: Enrolled): string | undefined {
  const isEnrolled = agentId !== undefined && statusOf(enrolled, agentId) !== undefined
  return word === 'add' && isEnrolled ? 'enrolled already' : undefined
}

interface Standing {
  readonly word: FleetWord
  readonly selection: Selection
  readonly status: AgentStatus | undefined
}

/**
 * A new secret is for machines that are trusted; one that failed is named when it shall have it all the same. One that an operator stopped, as `replace` does,
 * goes on when that operator says so: somebody else may have its id by now.
 */
function notMeant(options: TenantOptions, { word, selection, status }: Standing): string | undefined {
  if (!status || (word !== 'update' && word !== 'reactivate')) return undefined
  const state = stateWord(status)
  if (state === 'stopped' && selection.state !== 'stopped') return 'stopped: to continue it, name it with -u, or use --state stopped'
  const delivers = Boolean(options.file || options.cert || options.keyFile)
  if (!delivers || state !== 'failed') return undefined
  return 'failed: it gets nothing new until it passes, unless you name it with -u'
}

/** Ids of machines that are named by their addresses alone, looked up once for all of them. What is not clear is left, and told when its turn comes. */
async function withIds({ registrar }: TenantContext, named: readonly Named[]): Promise<Named[]> {
  if (named.every(({ options }) => options.agentId)) return [...named]
  const all = await registeredAgents(registrar)
  return named.map((machine) => {
    const { agentId, targetHost, targetPort } = machine.options
    if (agentId || !targetHost) return machine
    const [first, second] = all.filter((agent) => isAt(agent.registered, targetHost, targetPort))
    return first && !second ? { ...machine, options: { ...machine.options, agentId: first.agentId, exactId: true } } : machine
  })
}
