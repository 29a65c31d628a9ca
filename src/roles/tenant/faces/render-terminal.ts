import type { AgentStatus } from '../../../core/api/agent-status.ts'
import { hostPort } from '../../../core/api/host-port.ts'
import { parseMessage } from '../../../core/api/parse-message.ts'
import type { ReportedRevocation } from '../../../core/api/revocation-report.ts'
import { policyNames } from '../../../core/api/stored-policies.ts'
import { isOperationalState, stateText } from '../../../core/attestation/operational-state.ts'
import { changeText } from '../../../core/policy/demand-changes.ts'
import { printable } from '../../../core/printable.ts'
import { alignColumns, byteSize, type Mark, relativeTime, type Terminal } from '../../../io/terminal/terminal.ts'
import type { TenantEvent } from '../events.ts'
import { storyLines } from '../explain/render-story.ts'
import { type ListLook, machineLines } from '../list/render-machines.ts'
import { statusLines } from '../list/status-lines.ts'
import type { TenantResult } from '../run-command.ts'

const WARNING: Mark = { style: 'yellow', text: 'warning:' }
const DONE: Mark = { style: 'green', text: '✓' }

/** Prints steps as they happen, each with its time when that is over a second. */
export function terminalReport(terminal: Terminal, now: () => number): (event: TenantEvent) => void {
  let last = now()
  return (event) => {
    if (event.type === 'working') return terminal.live(`… ${event.text}`)
    if (event.type === 'waiting') return terminal.live(`… waiting for the machine (${seenText(event.lastSeen, Date.now())})`)
    const seconds = (now() - last) / 1000
    if (event.type === 'warning') return terminal.line(event.text, WARNING)
    last = now()
    const text = sentence(event)
    if (text) terminal.line(`${text}${seconds > 1 ? ` (${seconds.toFixed(1)} s)` : ''}`, DONE)
  }
}

const seenText = (seconds: number | null, now: number): string =>
  seconds === null ? 'never seen' : `last seen ${relativeTime(seconds * 1000, now)}`

const FOUND_BY = {
  id: '',
  prefix: ', the only id that begins with that',
  name: ', the only one with that name',
  address: ', the only one with that address',
}

const SCRIPT = {
  none: '',
  running: ', its script is running',
  done: ', its script has run',
  failed: ', but its script failed (see the log of the agent)',
}

function sentence(event: Exclude<TenantEvent, { type: 'working' | 'waiting' | 'warning' }>): string | undefined {
  switch (event.type) {
    case 'agent_found':
      return `agent ${event.agentId} is registered${FOUND_BY[event.by]}; it ${event.comesBy === 'push' ? 'brings its evidence by itself' : `is at ${hostPort(event.host, event.port)}`}`
    case 'certificate_ready':
      return `certificate ${event.serial} for ${event.name} from ${event.isNewAuthority ? 'the new authority in ' : ''}${event.directory}`
    case 'payload_ready':
      return event.kind === 'key'
        ? 'key shares read'
        : `${event.files === 1 ? '1 file' : `${event.files} files`} packed and encrypted (${byteSize(event.bytes)})`
    case 'quote_verified':
      return `identity quote is genuine (${event.reply.hash_alg}, ${event.reply.sign_alg}) and binds the agent's transport key`
    case 'ek_verified':
      return `EK certificate of ${event.maker} verified up to "${event.anchor}"`
    case 'ek_unchecked':
      return 'EK NOT checked (require_ek_cert is off): this may be any TPM'
    case 'ek_script_passed':
      return `EK accepted by ${event.script}`
    case 'share_sent':
      return event.payloadBytes > 0 ? 'payload and first key share sent to the agent' : 'first key share sent to the agent'
    case 'delivery_sealed':
      return 'first key share sealed to the machine’s TPM, and the delivery signed'
    case 'change':
      return changeText(event)
    case 'enrolled':
      return 'second key share and policy handed to the verifier'
    case 'enrolled_status':
      return undefined
    case 'attested':
      return `agent attested${event.released ? ', key share released by the verifier' : ''}`
    case 'key_proved':
      return 'agent proved that it derived the key'
    case 'unpacked':
      return `payload unpacked on the agent${SCRIPT[event.script]}`
    case 'deleted':
    case 'reactivated':
      return undefined // the result says it
  }
}

/** The result of a command as text for stdout, lines without a final newline. */
export function resultLines(result: TenantResult, look: ListLook): string[] {
  const { now } = look
  switch (result.type) {
    case 'done':
      return [result.summary]
    case 'ids':
      return result.ids.length > 0 ? [...result.ids] : [`no agent is known to the ${result.where}; ${emptyAdvice(result.where)}`]
    case 'agents':
      return agentTable(result, now)
    case 'machines':
      return machineLines(result.machines, look, result.known)
    case 'status':
      return statusLines(result, now)
    case 'revocations':
      return revocationTable(result.revocations)
    case 'listing':
      return [...result.lines]
    case 'policy':
      return policyLines(result)
    case 'story':
      return storyLines(result.story, { ...result, now })
  }
}

function revocationTable(revocations: readonly ReportedRevocation[]): string[] {
  if (revocations.length === 0) return ['the verifier has not revoked anything']
  const rows = revocations.map((r) => [
    r.agent_id,
    r.type,
    r.time.replace(/\.\d+Z$/, 'Z'),
    String(r.told.length),
    String(r.told.filter(({ outcome }) => outcome === 'acted').length),
    String(r.told.filter(({ outcome }) => outcome === 'failed').length),
    String(r.refused?.length ?? 0),
    r.pending.map(({ target }) => target.replace(/^agent:/, '')).join(' ') || '-',
    r.given_up.map(({ target }) => target.replace(/^agent:/, '')).join(' ') || '-',
  ])
  return [
    ...alignColumns([['AGENT', 'TYPE', 'TIME', 'TOLD', 'ACTED', 'FAILED', 'REFUSED', 'NOT YET TOLD', 'GIVEN UP'], ...rows]),
    ...reasonsOf(revocations),
  ]
}

const MAX_REASONS = 10

/** Why those who are not told are not, and those who were did not act, each once. */
function reasonsOf(revocations: readonly ReportedRevocation[]): string[] {
  const untold = revocations.flatMap((r) => [...r.told, ...(r.refused ?? []), ...r.pending, ...r.given_up])
  const reasons = new Map(untold.flatMap(({ target, last_error: reason }) => (reason ? [[target, reason] as const] : [])))
  return [...reasons].slice(0, MAX_REASONS).map(([target, reason]) => printable(`${target.replace(/^agent:/, '')}: ${reason}`))
}

const emptyAdvice = (where: 'registrar' | 'verifier') =>
  where === 'registrar' ? 'start `keylime agent` on a machine' : 'enrol one with `keylime tenant -u ID …`'

function agentTable({ agents, notEnrolled }: Extract<TenantResult, { type: 'agents' }>, now: number): string[] {
  const enrolled = Object.entries(agents).map(([id, status]) => [
    id,
    hostPort(String(status['ip']), String(status['port'])),
    stateName(status),
    String(status.attestation_count ?? 0),
    lastGood(status, now),
    status.last_event_id ?? '',
  ])
  const rows = [...enrolled, ...notEnrolled.map((id) => [id, '-', 'not enrolled', '0', 'never', ''])]
  rows.sort(([a], [b]) => (a! < b! ? -1 : 1))
  return rows.length > 0
    ? alignColumns([['AGENT', 'ADDRESS', 'STATE', 'ATTESTED', 'LAST GOOD', 'LAST FAILURE'], ...rows])
    : [`no agent is known to the verifier; ${emptyAdvice('verifier')}`]
}

function policyLines({ answer }: Extract<TenantResult, { type: 'policy' }>): string[] {
  const { action, kind, name, response } = answer
  if (action === 'list') {
    const names = Object.values(parseMessage(policyNames[kind], response.results, 'the verifier’s answer')).flat()
    return names.length > 0 ? names : [`no ${kind === 'mb' ? 'measured boot' : 'runtime'} policy is stored`]
  }
  if (action === 'show') return JSON.stringify(response.results, null, 2).split('\n')
  return [`policy ${name} ${action === 'add' ? 'stored' : action === 'update' ? 'replaced' : 'deleted'}`]
}

function stateName(status: AgentStatus): string {
  const state = status.operational_state
  return isOperationalState(state) ? stateText(state) : String(state)
}

function lastGood(status: AgentStatus, now: number): string {
  const seconds = Number(status['last_successful_attestation'] ?? 0)
  return seconds > 0 ? relativeTime(seconds * 1000, now) : 'never'
}
