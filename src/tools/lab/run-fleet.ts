import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { valueIn } from './figures.ts'
import { type FleetOptions, LabFleet, type Steady } from './lab-fleet.ts'
import { type LabVerifier, startLabVerifier } from './lab-verifier.ts'

export interface RunOptions extends FleetOptions {
  /** Seconds of measuring. */
  seconds: number
  /** File of the program whose verifier is measured; empty for this one. */
  executable: string
  /** Whether machines register first, at the registrar of that verifier. */
  register?: boolean
  /** Further settings of the verifier, as variables. */
  env?: Record<string, string>
  /** Told what is being done, as a sentence. */
  told(text: string): void
}

/** A fleet with its verifier, and what its first minute gave. */
export interface RunningFleet {
  fleet: LabFleet
  verifier: LabVerifier
  /** Registrations a second; null where none was asked for. */
  registered: number | null
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
  const { count, interval, executable, register = false, env = {}, told } = options
  const directory = fs.mkdtempSync(path.join(os.tmpdir(), 'keylime-lab-'))
  const ends: (() => Promise<void>)[] = []
  try {
    told('a verifier is started')
    const verifier = await startLabVerifier({ directory, interval, executable, register, env })
    ends.push(() => verifier.stop())
    told(`${count} machines are made`)
    const fleet = await LabFleet.open(options, verifier)
    ends.push(() => fleet.close())
    if (verifier.registrar) told('they register')
    const registered = verifier.registrar ? await fleet.register(verifier.registrar) : null
    told('they are enrolled')
    const began = performance.now()
    const enrolled = await fleet.enrol()
    await fleet.asked(1, ({ kind }) => kind !== 'hanging', firstRoundLimit(options))
    return await use({ fleet, verifier, registered, enrolled, firstRoundSeconds: (performance.now() - began) / 1000 })
  } finally {
    for (const end of ends.reverse()) await end()
    fs.rmSync(directory, { recursive: true, force: true })
  }
}

const firstRoundLimit = ({ count, interval }: FleetOptions) => 60_000 + 10 * count + 10_000 * interval

/** One run: enrolled, attested, measured. */
export const runFleet = (options: RunOptions): Promise<FleetReport> =>
  withFleet(options, async ({ fleet, verifier, registered, enrolled, firstRoundSeconds }) => {
    const { interval, seconds, told } = options
    told('they are attested once, and go on for two intervals')
    await sleep(Math.max(2000, 2 * interval * 1000))
    told(`they are attested for ${seconds} s`)
    const steady = await fleet.measure(WINDOWS, seconds / WINDOWS)
    const text = await verifier.metrics()
    const distrusted = valueIn(text, 'keylime_verifier_agents{state="failed",way="pull"}')
    return { ...steady, registered, enrolled, firstRoundSeconds, liars: fleet.machines.filter(({ isLying }) => isLying).length, distrusted }
  })
