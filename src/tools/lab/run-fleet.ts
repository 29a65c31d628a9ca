import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { valueIn } from './figures.ts'
import { type FleetOptions, LabFleet, type Steady } from './lab-fleet.ts'
import { type LabVerifier, type LabVerifierOptions, startLabVerifier } from './lab-verifier.ts'

export interface RunOptions extends FleetOptions {
  /** Seconds of measuring. */
  seconds: number
  /** The program whose verifier is measured, with its first words; empty for this one. */
  command: readonly string[]
  /** Whether machines register first, at the registrar of that verifier. */
  register?: boolean
  /** Further settings of the verifier, as variables. */
  env?: Record<string, string>
  /** So many machines are enrolled at the beginning; all, unless it is said. */
  first?: number
  /** Starts what is measured, where that is not one verifier of ours. */
  start?: (options: LabVerifierOptions) => Promise<LabVerifier>
  /** Told what is being done, as a sentence. */
  told(text: string): void
}

/** A fleet with its verifier, and what its first minute gave. */
export interface RunningFleet {
  fleet: LabFleet
  verifier: LabVerifier
  /** What the verifier keeps is in it. */
  directory: string
  /** Registrations a second; null where none was asked for. */
  registered: number | null
  /** Processor time of the verifier for a registration, in milliseconds. */
  registerCpuMs: number
  /** Processor time of the verifier for an enrolment, with the attestations meanwhile, in milliseconds. */
  enrolCpuMs: number
  /** Enrolments a second, and seconds until each machine that answers was attested once. */
  enrolled: number
  firstRoundSeconds: number
}

export interface FleetReport extends Steady {
  registered: number | null
  enrolled: number
  firstRoundSeconds: number
  /** Machines that lied, and those that the verifier says failed. */
  liars: number
  distrusted: number
}

const WINDOWS = 5

/** Starts a verifier and a fleet in a directory of their own, which is gone at the end. */
export async function withFleet<T>(options: RunOptions, use: (running: RunningFleet) => Promise<T>): Promise<T> {
  const { count, interval, command, register = false, env = {}, first = count, start = startLabVerifier, told } = options
  const directory = fs.mkdtempSync(path.join(os.tmpdir(), 'keylime-lab-'))
  const ends: (() => Promise<void>)[] = []
  try {
    told('starting a verifier')
    const verifier = await start({ directory, interval, command, register, env })
    ends.push(() => verifier.stop())
    told(`${count} machines are set up`)
    const fleet = await LabFleet.open(options, verifier)
    ends.push(() => fleet.close())
    if (verifier.registrar) told('they register')
    const cpuBefore = verifier.cpuMs()
    const registered = verifier.registrar ? await fleet.register(verifier.registrar) : null
    const registerCpuMs = (verifier.cpuMs() - cpuBefore) / count
    told('they are enrolled')
    await fleet.storePolicy()
    const [began, cpu] = [performance.now(), verifier.cpuMs()]
    const enrolled = await fleet.enrol(0, first)
    const enrolCpuMs = (verifier.cpuMs() - cpu) / first
    await fleet.asked(1, ({ kind }, index) => kind !== 'hanging' && index < first, firstRoundLimit(options))
    return await use({
      ...{ fleet, verifier, directory, registered, registerCpuMs, enrolled, enrolCpuMs },
      firstRoundSeconds: (performance.now() - began) / 1000,
    })
  } finally {
    for (const end of ends.reverse()) await end()
    fs.rmSync(directory, { recursive: true, force: true })
  }
}

/** Milliseconds; a line is read, sent and judged in some microseconds. */
const firstRoundLimit = ({ count, interval, logLines }: FleetOptions) => 60_000 + count * (10 + logLines / 100) + 10_000 * interval

/** One run: enrolled, attested, measured. */
export const runFleet = (options: RunOptions): Promise<FleetReport> =>
  withFleet(options, async ({ fleet, verifier, registered, enrolled, firstRoundSeconds }) => {
    const { interval, seconds, told } = options
    told('they are attested once, and then for two more intervals')
    await sleep(Math.max(2000, 2 * interval * 1000))
    told(`they are attested for ${seconds} s`)
    const steady = await fleet.measure(WINDOWS, seconds / WINDOWS)
    const text = await verifier.metrics()
    const distrusted = valueIn(text, 'keylime_verifier_agents{state="failed",way="pull"}')
    return { ...steady, registered, enrolled, firstRoundSeconds, liars: fleet.machines.filter(({ isLying }) => isLying).length, distrusted }
  })
