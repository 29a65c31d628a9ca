import { BY_URGENCY, exitCodeOfState, stateWordText } from '../../../core/attestation/state-word.ts'
import { csvLine } from '../../../core/text/csv.ts'
import { alignColumns, relativeTime } from '../../../io/terminal/terminal.ts'
import { fateText } from '../delivery/payload-fate.ts'
import { type Machine, shortIds } from './machine.ts'

/** From this width on every column has room. */
const WIDE = 120
const MAX_NAME = 24

export interface ListLook {
  /** Milliseconds since the epoch. */
  readonly now: number
  /** Columns of the terminal; undefined for a pipe, where nothing is cut. */
  readonly width: number | undefined
}

/** @param known how many there are, of which these were chosen. @returns the list with its summary in the last line; in a narrow terminal with fewer columns, none of them longer than a line. */
export function machineLines(machines: readonly Machine[], { now, width }: ListLook, known = machines.length): string[] {
  if (machines.length === 0 && known > 0) return [`no machine matches; there ${known === 1 ? 'is 1' : `are ${known}`} in all`]
  if (machines.length === 0) return ['no machine is known; start `keylime agent` on one, then enrol it with `keylime tenant add -u ID …`']
  const ids = width === undefined ? undefined : shortIds(machines.map(({ agentId }) => agentId))
  const rows = width !== undefined && width < WIDE ? narrowRows(machines, now, ids!) : wideRows(machines, now, ids)
  const lines = alignColumns(rows)
  return [...(width === undefined ? lines : lines.map((line) => cut(line, width))), summaryOf(machines)]
}

function wideRows(machines: readonly Machine[], now: number, ids: ReadonlyMap<string, string> | undefined): string[][] {
  const rows = machines.map((machine) => [
    stateWordText(machine.state),
    machine.name ?? '-',
    ids?.get(machine.agentId) ?? machine.agentId,
    addressText(machine),
    policiesText(machine),
    machine.payload ? fateText(machine.payload) : '-',
    seenText(machine, now),
    machine.failure ?? '-',
  ])
  return [['STATE', 'NAME', 'ID', 'ADDRESS', 'POLICIES', 'PAYLOAD', 'LAST SEEN', 'FAILURE'], ...rows]
}

/** The one thing that matters most stands last, where a long one is cut. */
function narrowRows(machines: readonly Machine[], now: number, ids: ReadonlyMap<string, string>): string[][] {
  const rows = machines.map((machine) => {
    const { failure, payload, movedTo, address } = machine
    const what = [failure, payload && fateText(payload), movedTo && `now at ${movedTo}`, failure ? null : policiesText(machine)]
    return [
      stateWordText(machine.state),
      cut(machine.name ?? '-', MAX_NAME),
      ids.get(machine.agentId)!,
      seenText(machine, now),
      what.filter((text) => text && text !== '-').join('; ') || (address ?? '-'),
    ]
  })
  return [['STATE', 'NAME', 'ID', 'LAST SEEN', 'WHAT'], ...rows]
}

const addressText = ({ address, movedTo, comesBy }: Machine) =>
  comesBy === 'push' ? 'comes by itself' : `${address ?? '-'}${movedTo ? ` (registered at ${movedTo})` : ''}`
const seenText = ({ lastSeen, state, revokedAt }: Machine, now: number) =>
  state === 'revoked'
    ? `revoked ${relativeTime(Date.parse(revokedAt ?? ''), now)}`
    : lastSeen === null
      ? 'never'
      : relativeTime(lastSeen * 1000, now)
const policiesText = ({ policies, state }: Machine) => policies.join(', ') || (state === 'registered' || state === 'revoked' ? '-' : 'none')
const cut = (text: string, width: number) => (text.length > width ? `${text.slice(0, Math.max(0, width - 1))}…` : text)

/** Such as `5 machines: 1 failed, 4 attested`. */
export function summaryOf(machines: readonly Machine[]): string {
  const counts = BY_URGENCY.flatMap((state) => {
    const count = machines.filter((machine) => machine.state === state).length
    return count > 0 ? [`${count} ${stateWordText(state)}`] : []
  })
  return `${machines.length} ${machines.length === 1 ? 'machine' : 'machines'}: ${counts.join(', ')}`
}

/** 3 when one failed, else 4 when one cannot be reached, else 0: what is not enrolled yet is no bad news in a list. */
export function listExitCode(machines: readonly Machine[]): number {
  const codes = machines.filter(({ state }) => state !== 'registered').map(({ state }) => exitCodeOfState(state))
  return codes.filter((code) => code > 0).toSorted((a, b) => a - b)[0] ?? 0
}

const CSV_HEAD = [
  'state',
  'name',
  'id',
  'address',
  'registered_address',
  'policies',
  'payload',
  'payload_generation',
  'last_seen',
  'attestations',
  'failure',
  'comes_by',
]

/** For programs and spreadsheets: these columns in this order. */
export const machineCsv = (machines: readonly Machine[]): string[] => [
  csvLine(CSV_HEAD),
  ...machines.map((machine) =>
    csvLine([
      machine.state,
      machine.name ?? '',
      machine.agentId,
      machine.address ?? '',
      machine.movedTo ?? machine.address ?? '',
      machine.policies.join('; '),
      machine.payload ? fateText({ ...machine.payload, generation: 0 }) : '',
      machine.payload && machine.payload.generation > 0 ? String(machine.payload.generation) : '',
      timeOf(machine) ?? '',
      String(machine.attestations),
      machine.failure ?? '',
      machine.comesBy ?? '',
    ]),
  ),
]

const timeOf = ({ lastSeen }: Machine) => (lastSeen === null ? null : new Date(lastSeen * 1000).toISOString())

/** One machine of `--json`. */
export const machineJson = (machine: Machine): Record<string, unknown> => ({
  agent_id: machine.agentId,
  name: machine.name,
  state: machine.state,
  comes_by: machine.comesBy,
  address: machine.address,
  moved_to: machine.movedTo,
  policies: machine.policies,
  payload: machine.payload && {
    state: machine.payload.state,
    generation: machine.payload.generation || null,
    script_exit: machine.payload.scriptExit,
  },
  last_seen: timeOf(machine),
  attestations: machine.attestations,
  failure: machine.failure,
  ...(machine.revokedAt === null ? {} : { revoked_at: machine.revokedAt }),
})
