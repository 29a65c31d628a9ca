import { createHash } from 'node:crypto'
import fs from 'node:fs'
import path from 'node:path'
import { parseEntry } from '../../src/core/ima/entry.ts'
import { parseEventLog } from '../../src/core/measured-boot/event-log.ts'
import type { HashName } from '../../src/core/tpm/algorithms.ts'
import { openTpm } from '../../src/io/tpm/open-tpm.ts'
import type { Tpm } from '../../src/io/tpm/tpm.ts'
import { imaLine } from '../ima.ts'
import { machineFile } from '../machines.ts'
import type { Swtpm } from '../swtpm.ts'

const BANKS = ['sha1', 'sha256', 'sha384'] as const
const IMA_PCR = 10
/** The machine whose boot every software machine repeats. */
const BOOTED = 'secure-boot-ima-ng'

/** A machine as its agent sees it: a TPM, and a directory with the logs whose measurements the TPM holds. */
export class Machine {
  readonly id: string
  readonly dir: string
  readonly port: number
  readonly tpm: Swtpm

  constructor(id: string, dir: string, port: number, tpm: Swtpm) {
    this.id = id
    this.dir = dir
    this.port = port
    this.tpm = tpm
  }

  get imaLog(): string {
    return path.join(this.dir, 'ima.log')
  }

  get bootLog(): string {
    return path.join(this.dir, 'boot.log')
  }

  get unzipped(): string {
    return path.join(this.dir, 'secure/unzipped')
  }

  /** A file in the secure directory, which the Rust agent unpacks elsewhere than the others. */
  secret(name: string): string | undefined {
    return [this.unzipped, path.join(this.dir, 'secure')].map((dir) => path.join(dir, name)).find((file) => fs.existsSync(file))
  }

  /** Firmware and kernel have run: the real machine's event log, and a measurement list that begins with boot_aggregate. */
  async boot(): Promise<void> {
    fs.writeFileSync(this.bootLog, machineFile(BOOTED, 'uefi.bin'))
    const { events } = parseEventLog(machineFile(BOOTED, 'uefi.bin'))
    const measured = events.filter(({ type }) => type !== 3) // EV_NO_ACTION measures nothing
    await this.#withTpm(async (tpm) => {
      for (const { pcr, digests } of measured) {
        for (const bank of BANKS) {
          const digest = digests.get(bank)
          if (digest) await tpm.pcrExtend(bank, pcr, digest)
        }
      }
    })
    fs.writeFileSync(this.imaLog, '')
    await this.measure('boot_aggregate', '/usr/bin/tool-1', '/usr/bin/tool-2')
  }

  /** The kernel measures these files; each has its name as its content. The log grows before the PCR, as the kernel does it. */
  async measure(...files: string[]): Promise<void> {
    const lines = files.map((file) => imaLine(`ima-ng sha256:${digestOf(file)} ${file}`))
    fs.appendFileSync(this.imaLog, lines.map((line) => `${line}\n`).join(''))
    await this.#withTpm(async (tpm) => {
      for (const line of lines) {
        const { data } = parseEntry(line)
        for (const bank of BANKS) await tpm.pcrExtend(bank, IMA_PCR, hash(bank, data))
      }
    })
  }

  async pcr(number: number): Promise<string> {
    let value = ''
    await this.#withTpm(async (tpm) => {
      value = (await tpm.pcrRead('sha256', [number])).get(number)!.toString('hex')
    })
    return value
  }

  async #withTpm(work: (tpm: Tpm) => Promise<void>): Promise<void> {
    const tpm = await openTpm({ tcti: this.tpm.tcti, flushLeaked: false })
    await work(tpm).finally(() => tpm.close())
  }
}

const hash = (name: HashName, data: Buffer | string) => createHash(name).update(data).digest()

/** Of a file whose content is its name. */
export const digestOf = (file: string): string => hash('sha256', file).toString('hex')
