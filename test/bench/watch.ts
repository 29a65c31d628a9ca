import { execFileSync } from 'node:child_process'
import path from 'node:path'
import { printTable } from './table.ts'

const SECONDS = 30

/** What it costs an idle agent to see what changes: a process that does nothing else, with and without the watch. */
export function benchWatch(): void {
  const cost = (watches: boolean) =>
    Number(execFileSync(process.execPath, [path.resolve('test/bench/watching.ts'), String(watches), String(SECONDS)]))
  const [without, watching] = [cost(false), cost(true)]
  const minute = ((watching - without) * 60) / SECONDS
  printTable(
    'an idle agent that watches its list, CPU',
    ['ms a minute', 'of one core'],
    [[minute.toFixed(1), `${(minute / 600).toFixed(3)} %`]],
  )
}
