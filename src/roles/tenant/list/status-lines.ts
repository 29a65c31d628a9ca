import type { DeliveryProgress } from '../../../core/api/agent-info.ts'
import type { AgentStatus } from '../../../core/api/agent-status.ts'
import { hostPort } from '../../../core/api/host-port.ts'
import type { RegisteredAgent } from '../../../core/api/registrar.ts'
import { stateWord, stateWordText } from '../../../core/attestation/state-word.ts'
import { alignColumns, relativeTime } from '../../../io/terminal/terminal.ts'
import { type PayloadFate, payloadFate } from '../delivery/payload-fate.ts'
import { payloadText } from '../enrol/payload-on-agent.ts'
import { failuresInShort, hasStory } from '../explain/failures-in-short.ts'
import { type Machine, machineOf, policiesOf } from './machine.ts'

/** What is known of one machine. */
export interface Status {
  readonly agentId: string
  readonly registered: RegisteredAgent | undefined
  readonly status: AgentStatus | undefined
  /** What the agent itself says; undefined when it was not asked, or does not answer. */
  readonly payload?: DeliveryProgress | null | undefined
  /** False when nobody asked the agent itself. */
  readonly wasAsked?: boolean
  /** The registrar was asked, and does not know it. */
  readonly isUnregistered?: boolean
}

/** See `database_put_back` in the verifier's audit log. */
const WITHHELD = 'withheld, because a backup or an older database of the verifier was put back: deliver again with `keylime tenant update`'

/** The name of a verifier to which nobody gave one: there are no others. */
const UNNAMED = 'default'

/** What is known of one machine: how it stands, what was demanded of it, and what became of what it was given. */
export function statusLines(result: Status, now: number): string[] {
  const { agentId, registered, status } = result
  const fate = status ? payloadFate(status, result.payload) : null
  const machine = machineOf({ agentId, registered, status, payload: fate })
  const rows: string[][] = [['agent', agentId], ...(machine.name ? [['name', machine.name]] : [])]
  if (registered) rows.push(...registeredRows(result))
  else if (result.isUnregistered) rows.push(['registrar', 'not registered: its agent has to be started'])
  if (!status) return [...alignColumns(rows), ...(registered ? ['state           registered only: not enrolled at the verifier'] : [])]
  rows.push(['state', stateWordText(machine.state)])
  rows.push([
    'comes by',
    machine.comesBy === 'push'
      ? 'push: it brings its evidence by itself'
      : `pull: the verifier asks it at ${machine.address ?? 'no address'}`,
  ])
  if (status.verifier_id && status.verifier_id !== UNNAMED) rows.push(['verifier', status.verifier_id])
  rows.push(['last seen', machine.lastSeen === null ? 'never' : relativeTime(machine.lastSeen * 1000, now)])
  if (machine.movedTo) rows.push(['asked at', `${machine.address}: it registered elsewhere; ${followHint(result, machine)}`])
  rows.push(['must prove', demandsText(status)])
  rows.push(['attested', attestedText(status, now)])
  if (status.v_released !== undefined && status.v_released !== null)
    rows.push(['key share', status.v_withheld ? WITHHELD : status.v_released ? 'released' : 'kept back'])
  const payload = fateOf(result, fate, now)
  if (payload !== null) rows.push(['payload', payload])
  const lines = alignColumns(rows)
  if (!status.last_event_id) return lines
  const hint = hasStory(status)
    ? [`hint: \`keylime tenant explain -u ${agentId}\` shows all of it, and the change that would accept it`]
    : []
  return [...lines, 'failures', ...failuresInShort(status).split('\n'), ...hint]
}

function registeredRows({ registered }: Status): string[][] {
  if (!registered) return []
  return [
    ['registrar', 'registered'],
    ['address', registered.ip ? hostPort(registered.ip, registered.port ?? '') : 'none'],
    ['EK certificate', registered.ekcert ? 'yes' : 'none'],
    ...(registered.shares_tpm_with ? [['same TPM', `also registered as ${registered.shares_tpm_with.join(', ')}`]] : []),
  ]
}

function followHint({ agentId, registered }: Status, { state }: Machine): string {
  const follow = `\`keylime tenant update -u ${agentId} --cv_targethost ${registered?.ip ?? 'ADDRESS'}\` sets the new address; with \`follow_address\`, the verifier does it itself`
  return state === 'unreachable' ? `${follow}: if it has moved, that makes it reachable again` : follow
}

function demandsText(status: AgentStatus): string {
  const policies = policiesOf(status)
  return policies.length > 0 ? policies.join(', ') : 'nothing: any state is accepted'
}

/** Memory is where payloads live: after a reboot it is empty, and only another delivery fills it. */
function fateOf({ agentId, payload, status, wasAsked = true }: Status, fate: PayloadFate | null, now: number): string | null {
  const number = fate && fate.generation > 0 ? `delivery ${fate.generation}: ` : ''
  if (fate?.state === 'gone since the reboot')
    return `${number}gone from memory since the reboot; deliver it again with \`keylime tenant update -u ${agentId}\` and the same -f, or --cert and --include`
  if (fate?.state === 'kept back')
    return `${number}kept back: its key is released when the machine is good${payload?.state === 'unpacked' ? '; what an earlier delivery unpacked is still there' : ''}`
  if (fate?.state === 'refused') return `${number}refused by the machine: ${status?.delivery?.report?.error ?? 'see its log'}`
  if (fate?.state === 'waiting') return `${number}${waitingText(status, now)}`
  if (payload === undefined && !wasAsked)
    return fate === null ? null : `${number}${fate.state === 'delivered' ? 'released; the machine itself was not asked' : fate.state}`
  const text = payloadText(payload)
  return text === null ? null : `${number}${text}`
}

/** For a machine that brings its evidence: nobody can ask it. */
function waitingText(status: AgentStatus | undefined, now: number): string {
  const ordered = status?.delivery ? ` (ordered ${relativeTime(status.delivery.ordered_at * 1000, now)})` : ''
  return `waits at the verifier until the machine comes and is good${ordered}`
}

function attestedText(status: AgentStatus, now: number): string {
  const seconds = Number(status['last_successful_attestation'] ?? 0)
  const count = Number(status.attestation_count ?? 0)
  if (count === 0 && seconds === 0) return 'never'
  return `${count === 1 ? 'once' : `${count} times`}, last ${seconds > 0 ? relativeTime(seconds * 1000, now) : 'never'}`
}

/** The word for one machine, for its exit code. */
export const stateOfStatus = ({ status, registered }: Pick<Status, 'status' | 'registered'>) =>
  status ? stateWord(status) : registered ? 'registered' : undefined
