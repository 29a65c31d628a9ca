import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import type { Given } from './given.ts'
import type { Row } from './run.ts'

const RESULTS = 'docs/performance'

interface Kept {
  about: { started: string }
}

/** Of a run: when it began. */
const started = new Date().toISOString()

/** Results by date: one file for the runs of a day. What was kept of this run before is replaced. @param about what was asked for. @returns the file. */
export function keepResults(name: string, about: object, results: Record<string, Row[]>): string {
  const date = started.slice(0, 10)
  const machine = { started, node: process.version, processors: os.cpus().map(({ model }) => model), load: os.loadavg() }
  fs.mkdirSync(RESULTS, { recursive: true })
  const file = path.join(RESULTS, `${date}-${name}.json`)
  const earlier = fs.existsSync(file) ? (JSON.parse(fs.readFileSync(file, 'utf8')) as Kept[]) : []
  const others = earlier.filter((run) => run.about.started !== started)
  fs.writeFileSync(file, `${JSON.stringify([...others, { about: { ...machine, ...about }, results }], null, 1)}\n`)
  return file
}

/** Of a run, what does not follow from its rows. */
export const aboutRun = ({ sizes, rate, interval, seconds, executable }: Given): object => ({
  ...{ sizes, rate, interval, seconds },
  executable: path.basename(executable),
})
