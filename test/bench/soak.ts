import fs from 'node:fs'
import path from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { type RunningFleet, withFleet } from '../../src/tools/lab/run-fleet.ts'
import { KEYLIME } from '../e2e/deployment.ts'
import { numberOf, wordsOf } from './fleet/given.ts'
import { keepResults } from './fleet/results.ts'
import { loadText, settle } from './fleet/run.ts'
import { descriptorsOf, writtenMb } from './process-figures.ts'
import { growthOf, type Sample, type Watched, windowsOf } from './soak/windows.ts'
import { printTable } from './table.ts'

const OPTIONS = { minutes: '20', agents: '1000', rate: '2500', executable: KEYLIME }
const SAMPLE_MS = 5000
/** Windows of a run, and those at the beginning that are not judged. */
const [WINDOWS, WARM] = [10, 1]
const MB = 1 << 20
const NAMES: Record<Watched, string> = {
  pssMb: 'memory (PSS), MB',
  descriptors: 'descriptors',
  databaseMb: 'database, MB',
  otherMb: 'logs and other files, MB',
}

/**
 * Whether a verifier stays as it is: so many minutes at full rate, with its memory, its descriptors and the size of its database. `--minutes 20`, `--agents 1000`, `--rate 2500` (attestations a second), `--executable FILE`; `--write`
 * puts the result into docs/performance.
 */
export async function benchSoak(args: readonly string[]): Promise<void> {
  const { values, flags } = wordsOf(args, OPTIONS, ['write'])
  const number = (name: keyof typeof OPTIONS) => numberOf(name, values[name]!, 0.01)
  const [minutes, count, rate] = [number('minutes'), number('agents'), number('rate')]
  const interval = count / rate
  const options = { count, interval, seconds: minutes * 60, shares: {}, logLines: 50, policyDigests: 1000, told: () => undefined }
  const samples = await withFleet({ ...options, command: [values['executable']!] }, async (running) => {
    await settle(options)
    return watched(running, minutes)
  })
  const rows = tell(samples, count, interval)
  if (flags.has('write')) console.log(`written to ${keepResults('soak', { minutes, count, interval }, { soak: rows })}`)
}

async function watched(running: RunningFleet, minutes: number): Promise<Sample[]> {
  const began = performance.now()
  const samples = [sampleOf(running, 0)]
  while (performance.now() - began < minutes * 60_000) {
    await sleep(Math.min(SAMPLE_MS, minutes * 60_000))
    samples.push(sampleOf(running, (performance.now() - began) / 1000))
  }
  return samples
}

function sampleOf({ fleet, verifier, directory }: RunningFleet, seconds: number): Sample {
  const files = fs.readdirSync(directory, { recursive: true, encoding: 'utf8' })
  const sizes = files.map((name) => ({ name, mb: (fs.statSync(path.join(directory, name), { throwIfNoEntry: false })?.size ?? 0) / MB }))
  const mbOf = (isDatabase: boolean) =>
    sizes.filter(({ name }) => name.startsWith('cv_data.sqlite') === isDatabase).reduce((sum, { mb }) => sum + mb, 0)
  return {
    ...{ seconds, pssMb: verifier.pssMb(), descriptors: descriptorsOf(verifier.pid) },
    ...{ databaseMb: mbOf(true), otherMb: mbOf(false), attested: fleet.quotes(), cpuMs: verifier.cpuMs() },
    writtenMb: writtenMb(fs.readFileSync(`/proc/${verifier.pid}/io`, 'utf8')),
  }
}

function tell(samples: readonly Sample[], count: number, interval: number): Record<string, string>[] {
  const windows = windowsOf(samples, Math.min(WINDOWS, samples.length - 1))
  const rows = windows.map((window) => ({
    'from minute': window.fromMinute.toFixed(1),
    'attested/s': window.rate.toFixed(0),
    'CPU ms each': window.cpuMsEach.toFixed(3),
    [NAMES.pssMb]: window.pssMb.toFixed(0),
    [NAMES.descriptors]: window.descriptors.toFixed(0),
    [NAMES.databaseMb]: window.databaseMb.toFixed(1),
    [NAMES.otherMb]: window.otherMb.toFixed(2),
    'written, kB/s': window.writtenKb.toFixed(0),
  }))
  printTable(
    `${count} machines, an attestation each ${interval} s (load ${loadText()})`,
    Object.keys(rows[0]!),
    rows.map((row) => Object.values(row)),
  )
  for (const { figure, first, last, isFlat } of growthOf(windows, Math.min(WARM, windows.length - 1)))
    console.log(`${NAMES[figure]}: ${first.toFixed(1)} at the beginning, ${last.toFixed(1)} at the end: ${isFlat ? 'flat' : 'GROWS'}`)
  return rows
}
