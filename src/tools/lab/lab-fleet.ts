import { setTimeout as sleep } from 'node:timers/promises'
import { KeylimeError } from '../../core/errors.ts'
import { between, type Figure, figureOf, type Histogram, histogramIn, quantileMs, valueIn } from './figures.ts'
import { addressOf, type FleetListener, listenForFleet } from './fleet-listener.ts'
import { kindOf, type Shares } from './kinds.ts'
import { LabMachine, SLOW_MS, type Surroundings } from './lab-machine.ts'
import type { LabVerifier } from './lab-verifier.ts'
import { machineCertificates, transportKey } from './machine-certificates.ts'
import { measuredFiles } from './measured-files.ts'
import { type LabRegistrar, readyToRegister, registeredMachine, registerMachine } from './register-machine.ts'

export interface FleetOptions {
  count: number
  shares: Shares
  /** Lines of each measurement list after a boot; 0 for machines without a runtime policy. */
  logLines: number
  /** Digests of the policy that all share, besides those that are measured. */
  policyDigests: number
  /** Expressions in it that exclude nothing that is measured; none, unless it is said. */
  policyExcludes?: number
  /** Seconds between two attestations. */
  interval: number
}

/** What was measured in the steady state. */
export interface Steady {
  /** Attestations a second. */
  rate: Figure
  /** Processor time of the verifier for each, and of the machines, in milliseconds. */
  cpuMs: Figure
  machineCpuMs: Figure
  /** Time from a request to its answer, milliseconds. */
  askMs: { p50: number; p99: number; p999: number }
  /** How late machines were asked, milliseconds. */
  lagMs: { p50: number; p99: number }
  /** The longest that an honest machine was not asked for, in intervals. */
  longestGap: number
  pssMb: number
  connections: number
  /** New connections during the measurement, and those that resumed a session. */
  handshakes: number
  resumed: number
  failed: number
  /** On the wire, both ways, for one attestation. */
  bytesEach: number
}

const SIDE_BY_SIDE = 32
/** Connections that are opened in so long, of those that are there: few. */
const RESTED_MS = 2000
const RESTED_SHARE = 0.005
/** Lines that are measured while a fleet lives. */
const GROWTH = 200
const POLICY = 'lab'
/** At a verifier. */
export const POLICY_PATH = `/v2.6/allowlists/${POLICY}`

/** Machines that are simulated in this process, and what they do to a real verifier. */
export class LabFleet {
  readonly machines: readonly LabMachine[]
  readonly #listener: FleetListener
  readonly #verifier: LabVerifier
  readonly #options: FleetOptions
  readonly #certificates: readonly string[]
  readonly #policy: string | null
  readonly #around: Surroundings
  /** Where they have registered. */
  #registrar: LabRegistrar | null = null

  private constructor(made: { fleet: Made; listener: FleetListener; verifier: LabVerifier; options: FleetOptions }) {
    this.machines = made.fleet.served.map(({ machine }) => machine)
    this.#certificates = made.fleet.served.map(({ certificate }) => certificate.cert)
    this.#policy = made.fleet.policy
    this.#around = made.fleet.around
    this.#listener = made.listener
    this.#verifier = made.verifier
    this.#options = made.options
  }

  static async open(options: FleetOptions, verifier: LabVerifier): Promise<LabFleet> {
    const fleet = await makeFleet(options)
    return new LabFleet({ fleet, listener: await listenForFleet(fleet.served, verifier.ca), verifier, options })
  }

  get connections(): number {
    return this.#listener.figures.open
  }

  /** Stores the policy that all share, where there is one. */
  async storePolicy(): Promise<void> {
    if (this.#policy === null) return
    const body = { runtime_policy: Buffer.from(this.#policy).toString('base64') }
    accepted('the policy', await this.#verifier.admin.request('POST', POLICY_PATH, { body }))
  }

  /** Enrols those from one number to before another, or all; those that have registered with what the registrar has of them. @returns enrolments a second. */
  enrol(from = 0, end = this.machines.length): Promise<number> {
    return this.#ofAll((index) => this.#enrolOne(index), [from, end])
  }

  /** Registers all of them at the verifier's registrar, each with an endorsement key of its own, which is made before. @returns registrations a second. */
  async register(registrar: LabRegistrar): Promise<number> {
    this.#registrar = registrar
    const { port } = this.#listener
    const ready = this.machines.map(({ id, key }, index) => {
      const shown = { ip: addressOf(index), port, certificate: this.#certificates[index]! }
      return readyToRegister({ id, ak: Buffer.from(key.publicArea, 'base64'), ...shown }, registrar.maker)
    })
    return this.#ofAll((index) => registerMachine(ready[index]!, registrar.agents))
  }

  /** @returns how many a second. */
  async #ofAll(work: (index: number) => Promise<void>, [from, end] = [0, this.machines.length]): Promise<number> {
    const began = performance.now()
    const waiting = Array.from({ length: end - from }, (_, i) => from + i).values()
    const workOn = async () => {
      for (const index of waiting) await work(index)
    }
    await Promise.all(Array.from({ length: SIDE_BY_SIDE }, workOn))
    return ((end - from) * 1000) / (performance.now() - began)
  }

  /** Waits until each of these was asked so often. @returns milliseconds. */
  async asked(times: number, which: (machine: LabMachine, index: number) => boolean, limitMs: number): Promise<number> {
    const began = performance.now()
    const all = this.machines.filter(which)
    while (all.some(({ quotes }) => quotes < times)) {
      if (performance.now() - began > limitMs) throw new KeylimeError('timeout', 'some machines of the fleet were not asked in time')
      await sleep(20)
    }
    return performance.now() - began
  }

  /** Attestations a second from now on, for so long. */
  async rate(ms: number): Promise<number> {
    const [count, began] = [this.quotes(), performance.now()]
    await sleep(ms)
    return ((this.quotes() - count) * 1000) / (performance.now() - began)
  }

  /** Waits until few connections are opened: a verifier renews each once, some time after its first. @returns seconds, at most so many. */
  async rested(limitSeconds: number): Promise<number> {
    const began = performance.now()
    const seconds = () => (performance.now() - began) / 1000
    for (let opened = Infinity; opened > this.connections * RESTED_SHARE && seconds() < limitSeconds; ) {
      const { handshakes } = this.#listener.figures
      await sleep(RESTED_MS)
      opened = this.#listener.figures.handshakes - handshakes
    }
    return seconds()
  }

  /** @param windows of so many seconds: the figure is their median. */
  async measure(windows: number, seconds: number): Promise<Steady> {
    for (const machine of this.machines) machine.longestGapMs = 0
    const before = await this.#verifier.metrics()
    const { handshakes, resumed } = this.#listener.figures
    const [bytes, quotes] = [this.#listener.bytes(), this.quotes()]
    const parts = []
    for (let i = 0; i < windows; i++) parts.push(await this.#window(seconds * 1000))
    const after = await this.#verifier.metrics()
    const grown = (name: string, label = ''): Histogram => between(histogramIn(before, name, label), histogramIn(after, name, label))
    const ask = grown('keylime_verifier_attestation_stage_duration_seconds', 'stage="ask"')
    const lag = grown('keylime_verifier_attestation_lag_seconds')
    const honest = this.machines.filter(({ kind }) => kind === 'honest')
    return {
      rate: figureOf(parts.map(({ rate }) => rate)),
      cpuMs: figureOf(parts.map(({ cpuMs }) => cpuMs)),
      machineCpuMs: figureOf(parts.map(({ machineCpuMs }) => machineCpuMs)),
      askMs: { p50: quantileMs(ask, 0.5), p99: quantileMs(ask, 0.99), p999: quantileMs(ask, 0.999) },
      lagMs: { p50: quantileMs(lag, 0.5), p99: quantileMs(lag, 0.99) },
      longestGap: Math.max(0, ...honest.map(({ longestGapMs }) => longestGapMs)) / 1000 / Math.max(this.#options.interval, 0.001),
      pssMb: this.#verifier.pssMb(),
      connections: this.connections,
      handshakes: this.#listener.figures.handshakes - handshakes,
      resumed: this.#listener.figures.resumed - resumed,
      failed: valueIn(after, 'keylime_verifier_attestations_total{way="pull",result="failed"}'),
      bytesEach: (this.#listener.bytes() - bytes) / Math.max(1, this.quotes() - quotes),
    }
  }

  /** All connections are cut, and there is no other for so long. */
  async cut(ms: number): Promise<void> {
    this.#listener.cut()
    await sleep(ms)
    this.#listener.heal()
  }

  /** For so long all answer slowly; it ends with the last such answer. */
  async slow(ms: number): Promise<void> {
    this.#around.slowed = true
    await sleep(ms)
    this.#around.slowed = false
    await sleep(SLOW_MS[1])
  }

  close(): Promise<void> {
    return this.#listener.close()
  }

  /** Quotes that were given so far. */
  quotes(): number {
    return this.machines.reduce((sum, { quotes }) => sum + quotes, 0)
  }

  async #window(ms: number): Promise<{ rate: number; cpuMs: number; machineCpuMs: number }> {
    const before = { at: performance.now(), quotes: this.quotes(), cpu: this.#verifier.cpuMs(), own: process.cpuUsage() }
    await sleep(ms)
    const count = Math.max(1, this.quotes() - before.quotes)
    const own = process.cpuUsage(before.own)
    return {
      rate: (count * 1000) / (performance.now() - before.at),
      cpuMs: (this.#verifier.cpuMs() - before.cpu) / count,
      machineCpuMs: (own.user + own.system) / 1000 / count,
    }
  }

  async #enrolOne(index: number): Promise<void> {
    const machine = this.machines[index]!
    const { ak, certificate } = this.#registrar
      ? await registeredMachine(machine.id, this.#registrar.tenants)
      : { ak: machine.key.publicArea, certificate: this.#certificates[index] }
    const body = {
      ...{ v: null, cloudagent_ip: addressOf(index), cloudagent_port: this.#listener.port, tpm_policy: '{"mask":"0x0"}' },
      ...{ runtime_policy: '', runtime_policy_name: this.#policy === null ? null : POLICY, runtime_policy_key: '', mb_policy: null },
      ...{ mb_policy_name: '', ima_sign_verification_keys: '', metadata: '{}', revocation_key: '' },
      ...{ accept_tpm_hash_algs: ['sha256'], accept_tpm_encryption_algs: ['ecc'], accept_tpm_signing_algs: ['ecdsa'] },
      ...{ ak_tpm: ak, mtls_cert: certificate, supported_version: '2.6' },
    }
    accepted(machine.id, await this.#verifier.admin.request('POST', `/v2.6/agents/${machine.id}`, { body }))
  }
}

type Made = Awaited<ReturnType<typeof makeFleet>>

async function makeFleet({ count, shares, logLines, policyDigests, policyExcludes }: FleetOptions) {
  const files = measuredFiles(Math.max(1, logLines) + GROWTH)
  const around: Surroundings = {
    ...{ files, bootLines: logLines, transportKey: transportKey(), now: () => performance.now() },
    ...{ measuresEvery: 60, rebootsEvery: 60, liesAfter: 30 },
  }
  const certificate = await machineCertificates(Date.now())
  const served = Array.from({ length: count }, (_, i) => ({
    machine: new LabMachine(`lab-${String(i).padStart(6, '0')}`, kindOf(i, count, shares), around),
    certificate: certificate(),
  }))
  return { around, served, policy: logLines > 0 ? files.policy(policyDigests, policyExcludes) : null }
}

function accepted(what: string, { status, message }: { status: number; message: string }): void {
  if (status >= 300) throw new KeylimeError('unavailable', `the verifier did not accept ${what}: ${status} ${message}`)
}
