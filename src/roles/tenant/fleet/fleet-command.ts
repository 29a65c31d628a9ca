import { KeylimeError } from '../../../core/errors.ts'
import { printableJson } from '../../../core/printable.ts'
import { askYes } from '../../../io/terminal/ask-yes.ts'
import { printLine, printLines } from '../../../io/terminal/print.ts'
import type { Terminal } from '../../../io/terminal/terminal.ts'
import type { TenantContext } from '../tenant-context.ts'
import { checkFirst } from './check-first.ts'
import { chooseMachines, type FleetMachine } from './choose-machines.ts'
import { filesText } from './files-of-list.ts'
import { fleetExitCode, fleetJson, fleetTable, outcomeJson, outcomeLine } from './render-fleet.ts'
import { NO_RESUME, openResumeFile } from './resume-file.ts'
import { type FleetOutcome, runFleet } from './run-fleet.ts'
import { type FleetOptions, type FleetWord, isChosen, TAKES_AWAY } from './selection.ts'

export interface FleetFace {
  readonly terminal: Terminal
  readonly json: boolean
  readonly quiet: boolean
}

const FAILED = { style: 'red', text: '✗' } as const
const DONE = { style: 'green', text: '✓' } as const
const LEFT = { style: 'yellow', text: '-' } as const

/** A word for several machines: a line as each ends, a table at the end. Ctrl-C begins nothing more, and waits for what is under way. @returns the exit code. */
export async function runFleetCommand(context: TenantContext, word: FleetWord, options: FleetOptions, face: FleetFace): Promise<number> {
  const { selection, parallel, dryRun } = options
  const machines = await chooseMachines(context, word, selection)
  const files = filesText(machines)
  if (files && !face.json && !face.quiet) face.terminal.line(files)
  await checkFirst(context, word, machines)
  if (!dryRun && isChosen(selection) && TAKES_AWAY.includes(word)) await askFirst(context, word, machines)
  const resume = options.resume === undefined || dryRun ? NO_RESUME : await openResumeFile(options.resume, context.options)
  const stopping = new AbortController()
  const interrupt = () => {
    if (stopping.signal.aborted) process.exit(130)
    stopping.abort()
    face.terminal.line('interrupted: what is under way is finished first, and nothing more is begun; press Ctrl-C again to end at once')
  }
  process.on('SIGINT', interrupt)
  try {
    const outcomes = await runFleet(context, { word, machines, parallel, dryRun, resume, stopped: stopping.signal, told: teller(face) })
    if (face.json) printLine(printableJson(fleetJson(outcomes)))
    else printLines(fleetTable(outcomes))
    return fleetExitCode(outcomes)
  } finally {
    process.off('SIGINT', interrupt)
  }
}

function teller({ terminal, json, quiet }: FleetFace): (outcome: FleetOutcome) => void {
  if (json) return (outcome) => printLine(printableJson(outcomeJson(outcome)))
  if (quiet) return () => undefined
  return (outcome) => {
    terminal.line(outcomeLine(outcome), outcome.result === 'done' ? DONE : outcome.result === 'failed' ? FAILED : LEFT)
    for (const text of outcome.warnings) terminal.line(`${outcome.name}: ${text}`, { style: 'yellow', text: 'warning:' })
  }
}

async function askFirst({ options }: TenantContext, word: FleetWord, machines: readonly FleetMachine[]): Promise<void> {
  if (options.yes) return
  const names = machines.slice(0, 5).map(({ name }) => name)
  const which = `${names.join(', ')}${machines.length > names.length ? ` and ${machines.length - names.length} more` : ''}`
  const answer = await askYes(`${word} ${machines.length} machines (${which})?`)
  if (answer === null)
    throw new KeylimeError('usage', `\`${word}\` is for ${machines.length} machines, and there is no terminal to ask on`, {
      hint: 'look with --dry-run, then add --yes',
    })
  if (!answer) throw new KeylimeError('refused', 'nothing was done')
}
