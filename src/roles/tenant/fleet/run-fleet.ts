import { createHash } from 'node:crypto'
import { causeChain, type ErrorCode, isKeylimeError } from '../../../core/errors.ts'
import type { TenantEvent } from '../events.ts'
import { runTenantCommand } from '../run-command.ts'
import type { TenantContext } from '../tenant-context.ts'
import type { FleetMachine } from './choose-machines.ts'
import { planMachine } from './plan-machine.ts'
import type { ResumeFile } from './resume-file.ts'
import type { FleetWord } from './selection.ts'

/** What became of one machine. `planned`: of a dry run. `not begun`: the run was interrupted before. */
export interface FleetOutcome {
  readonly name: string
  readonly result: 'done' | 'failed' | 'skipped' | 'planned' | 'not begun'
  readonly text: string
  readonly hint?: string | undefined
  readonly code?: ErrorCode | 'bug' | undefined
  readonly seconds: number
  /** Warnings of its steps. */
  readonly warnings: readonly string[]
}

export interface FleetRun {
  readonly word: FleetWord
  readonly machines: readonly FleetMachine[]
  /** At the same time. */
  readonly parallel: number
  readonly dryRun: boolean
  readonly resume: ResumeFile
  /** Aborted: nothing new is begun. */
  readonly stopped: AbortSignal
  /** As each machine ends. */
  told(outcome: FleetOutcome): void
}

/** Does the same with many machines side by side. One that fails keeps no other from being done. @returns all outcomes, in the order of the machines. */
export async function runFleet(context: TenantContext, run: FleetRun): Promise<FleetOutcome[]> {
  const outcomes = new Map<FleetMachine, FleetOutcome>()
  const waiting = run.machines.values()
  async function work(): Promise<void> {
    for (const machine of waiting) {
      const outcome = await outcomeOf(context, run, machine)
      outcomes.set(machine, outcome)
      run.told(outcome)
    }
  }
  await Promise.all(Array.from({ length: Math.min(run.parallel, run.machines.length) }, work))
  return run.machines.map((machine) => outcomes.get(machine)!)
}

async function outcomeOf(context: TenantContext, run: FleetRun, machine: FleetMachine): Promise<FleetOutcome> {
  const { name, options, skip } = machine
  const without = (result: FleetOutcome['result'], text: string): FleetOutcome => ({ name, result, text, seconds: 0, warnings: [] })
  if (run.resume.isDone(doneName(machine))) return without('skipped', 'done in an earlier run')
  if (skip) return without('skipped', skip)
  if (run.stopped.aborted) return without('not begun', 'interrupted before its turn')
  const warnings: string[] = []
  const report = (event: TenantEvent) => {
    if (event.type === 'warning') warnings.push(event.text)
  }
  const began = performance.now()
  const seconds = () => (performance.now() - began) / 1000
  try {
    const own = { ...context, options: { ...context.options, ...options }, report }
    if (run.dryRun) return { name, result: 'planned', text: await planMachine(own, run.word), seconds: seconds(), warnings }
    const result = await runTenantCommand(own, run.word)
    await run.resume.done(doneName(machine))
    return { name, result: 'done', text: 'summary' in result ? result.summary : 'done', seconds: seconds(), warnings }
  } catch (error) {
    const known = isKeylimeError(error) ? error : null
    const text = known ? causeChain(error).join(': ') : `a bug: ${(error as Error).message}`
    return { name, result: 'failed', text, hint: known?.hint, code: known?.code ?? 'bug', seconds: seconds(), warnings }
  }
}

/** With what a list says of it: under another policy, or as another machine at its address, it is not done. */
function doneName({ name, options }: FleetMachine): string {
  const said = optionsText(options)
  return said === ''
    ? name
    : `${name} ${createHash('sha256')
        .update(`${options.agentId ?? ''}${said}`)
        .digest('hex')
        .slice(0, 16)}`
}

/** What a list says of one machine beside its name. */
function optionsText({ agentId: _id, exactId: _exact, ...others }: FleetMachine['options']): string {
  const named = Object.entries(others)
  return named.length === 0 ? '' : ` (${named.map(([name, value]) => `${name} ${String(value)}`).join(', ')})`
}
