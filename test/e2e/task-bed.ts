import { createHash } from 'node:crypto'
import fs from 'node:fs'
import path from 'node:path'
import { parseEntry } from '../../src/core/ima/entry.ts'
import { BOOT_AGGREGATE, imaLine } from '../ima.ts'
import { type Swtpm, startSwtpm } from '../swtpm.ts'
import { type Host, Network } from './hosts.ts'

export const SERVER = '10.0.0.1'
const MEASUREMENTS = '/sys/kernel/security/ima/ascii_runtime_measurements'

export interface TpmMachine {
  readonly id: string
  readonly address: string
  host: Host
  tpm: Swtpm
}

export interface Start {
  /** Of `agent.conf`, beside who it is and where the registrar is. */
  readonly config?: string
  /** Lines of the kernel's measurement list; PCR 10 is extended with them. */
  readonly measured?: readonly string[]
}

/** A program that a machine has run, as its kernel measures it. */
export const measuredFile = (file: string, digest: string): string => imaLine(`ima-ng sha256:${digest.repeat(32)} ${file}`)

/** An operator's host and machines with software TPMs, on a network of their own: each role is installed as the guide says. */
export class TaskBed {
  readonly network = new Network()
  readonly machines: TpmMachine[] = []
  server!: Host
  readonly #chips: Swtpm[] = []

  async start(addresses: readonly string[]): Promise<void> {
    await this.network.start([SERVER, ...addresses])
    this.server = await this.network.host('server')
    this.server.write(
      '/etc/keylime/verifier.conf',
      `[verifier]\nip = 0.0.0.0\ncert_subject_alternative_names = ["10.0.0.1"]\nquote_interval = 0.5\nretry_interval = 0.2\n`,
    )
    this.server.write('/etc/keylime/registrar.conf', '[registrar]\nip = 0.0.0.0\n')
    await this.server.must('useradd --system --user-group --home-dir /var/lib/keylime --no-create-home --shell /usr/sbin/nologin keylime')
    this.server.write('/etc/keylime/ca.conf', '[ca]\npassword = of the test\n', 0o640)
    await this.server.must('chgrp keylime /etc/keylime/ca.conf')
    await this.server.must('keylime service install verifier --yes')
    await this.server.must('mkdir -p /var/lib/keylime/tpm_cert_store')
  }

  /** A machine that its maker has just delivered, with an agent that has registered. */
  async machine(id: string, address: string, start: Start = {}): Promise<TpmMachine> {
    const machine = { id, address } as TpmMachine
    machine.tpm = await this.chip()
    machine.host = await this.network.host(`${id}-1`)
    this.machines.push(machine)
    await this.installAgent(machine, start)
    return machine
  }

  /** A TPM whose maker the operator trusts. */
  async chip(): Promise<Swtpm> {
    const tpm = await startSwtpm({ ekCertificate: true, caDirectory: path.join(this.network.dir, 'maker') })
    this.#chips.push(tpm)
    fs.chmodSync(tpm.directory, 0o755)
    for (const name of ['sock', 'sock.ctrl']) fs.chmodSync(path.join(tpm.directory, name), 0o666)
    for (const file of tpm.manufacturerCertificates)
      this.server.write(`/var/lib/keylime/tpm_cert_store/${path.basename(file)}`, fs.readFileSync(file))
    return tpm
  }

  /** @returns once systemd says that it is up, which for an agent means registered. */
  async installAgent(machine: TpmMachine, start: Start = {}): Promise<void> {
    await this.#prepareAgent(machine, start)
    await machine.host.must('keylime service install agent --yes')
  }

  async #prepareAgent({ id, address, host, tpm }: TpmMachine, { config, measured = [] }: Start): Promise<void> {
    const place = config ?? `ip = "${address}"\ncontact_ip = "${address}"\n`
    host.write('/etc/keylime/agent.conf', `[agent]\nuuid = "${id}"\nregistrar_ip = "${SERVER}"\n${place}`)
    host.write('/var/lib/keylime/cv_ca/cacert.crt', this.server.read('/var/lib/keylime/cv_ca/cacert.crt'))
    useChip(host, tpm)
    if (measured.length > 0) await measure({ host, tpm }, [BOOT_AGGREGATE, ...measured])
  }

  /** Power off and on: what is in memory is gone, and the kernel begins a new measurement list. */
  async reboot(machine: TpmMachine, measured: readonly string[] = []): Promise<void> {
    const { host, tpm } = machine
    await host.must('systemctl stop keylime-agent var-lib-keylime-secure.mount')
    await tpm.powerCycle()
    if (measured.length > 0) await measure(machine, [BOOT_AGGREGATE, ...measured])
    await host.must('systemctl start keylime-agent')
  }

  /** It is switched off, and boots with another TPM: nobody has started its agent yet. */
  async newBoard(machine: TpmMachine, measured: readonly string[]): Promise<void> {
    await machine.host.must('systemctl stop keylime-agent var-lib-keylime-secure.mount')
    machine.tpm = await this.chip()
    useChip(machine.host, machine.tpm)
    await measure(machine, [BOOT_AGGREGATE, ...measured])
  }

  /** Another system on the same machine: nothing of the one before is left. Its agent is not installed yet. */
  async newSystem(machine: TpmMachine, start: Start): Promise<void> {
    await machine.host.off()
    machine.host = await this.network.host(`${machine.id}-again`)
    await machine.tpm.powerCycle()
    await this.#prepareAgent(machine, start)
  }

  async stop(): Promise<void> {
    await this.network.stop()
    for (const tpm of this.#chips) await tpm.stop().catch(() => undefined)
  }
}

/** The board of a host has this TPM. */
const useChip = (host: Host, { directory }: Swtpm): void =>
  host.write('/run/host-environment', `TCTI=swtpm:path=/run/chips/${path.basename(directory)}/sock\n`)

/** The kernel measures what the machine runs: its list, and PCR 10. */
async function measure({ host, tpm }: Pick<TpmMachine, 'host' | 'tpm'>, lines: readonly string[]): Promise<void> {
  host.write(MEASUREMENTS, `${lines.join('\n')}\n`)
  for (const line of lines) await tpm.extendPcr(10, createHash('sha256').update(parseEntry(line).data).digest())
}
