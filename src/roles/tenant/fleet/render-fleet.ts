import { exitCodeOf } from '../../../core/errors.ts'
import { alignColumns } from '../../../io/terminal/terminal.ts'
import type { FleetOutcome } from './run-fleet.ts'

const ORDER: readonly FleetOutcome['result'][] = ['failed', 'not begun', 'skipped', 'planned', 'done']
const INTERRUPTED = 130
const MAX_TEXT = 160

/** The line that says how one machine ended. */
export const outcomeLine = ({ name, result, text, seconds }: FleetOutcome): string =>
  `${name} ${result}${seconds > 1 ? ` (${seconds.toFixed(1)} s)` : ''}: ${oneLine(text)}`

/** All machines, those that failed first, and a line that counts. */
export function fleetTable(outcomes: readonly FleetOutcome[]): string[] {
  const rows = ORDER.flatMap((result) => outcomes.filter((outcome) => outcome.result === result)).map((outcome) => [
    outcome.name,
    outcome.result,
    outcome.seconds > 0 ? `${outcome.seconds.toFixed(1)} s` : '-',
    oneLine(outcome.text),
  ])
  const hints = new Set(outcomes.flatMap(({ hint }) => (hint ? [`hint: ${hint}`] : [])))
  return [...alignColumns([['MACHINE', 'RESULT', 'TIME', 'WHAT'], ...rows]), ...hints, countsText(outcomes)]
}

/** Such as `50 machines: 48 done, 2 failed`. */
export function countsText(outcomes: readonly FleetOutcome[]): string {
  const counts = ORDER.toReversed().flatMap((result) => {
    const count = outcomes.filter((outcome) => outcome.result === result).length
    return count > 0 ? [`${count} ${result}`] : []
  })
  return `${outcomes.length} ${outcomes.length === 1 ? 'machine' : 'machines'}: ${counts.join(', ')}`
}

/** 0 when none failed; the code that all failures have in common, else 1; 130 when some were not begun. */
export function fleetExitCode(outcomes: readonly FleetOutcome[]): number {
  if (outcomes.some(({ result }) => result === 'not begun')) return INTERRUPTED
  const codes = new Set(
    outcomes.flatMap(({ result, code }) => (result === 'failed' ? [code && code !== 'bug' ? exitCodeOf(code) : 1] : [])),
  )
  if (codes.size === 0) return 0
  return codes.size === 1 ? [...codes][0]! : 1
}

/** One object a machine, as it ends. */
export const outcomeJson = ({ name, result, text, hint, code, seconds, warnings }: FleetOutcome): string =>
  JSON.stringify({
    event: 'machine',
    machine: name,
    result,
    text,
    hint: hint ?? null,
    code: code ?? null,
    seconds: Number(seconds.toFixed(3)),
    warnings,
  })

/** The last line. */
export function fleetJson(outcomes: readonly FleetOutcome[]): string {
  const counts = Object.fromEntries(
    ORDER.map((result) => [result.replace(' ', '_'), outcomes.filter((outcome) => outcome.result === result).length]),
  )
  return JSON.stringify({ result: 'fleet', machines: outcomes.length, ...counts })
}

function oneLine(text: string): string {
  const line = text.replace(/\s+/g, ' ')
  return line.length > MAX_TEXT ? `${line.slice(0, MAX_TEXT - 1)}…` : line
}
