import { type ChildProcess, execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import fs from 'node:fs'
import net from 'node:net'
import os from 'node:os'
import path from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { promisify } from 'node:util'
import type { HashName } from '../src/core/tpm/algorithms.ts'
import { openTpm } from '../src/io/tpm/open-tpm.ts'
import type { Tpm } from '../src/io/tpm/tpm.ts'

const run = promisify(execFile)

export interface SwtpmOptions {
  /** Provision RSA-2048 (0x01c00002) and P-384 (0x01c00016) EK certificates of a manufacturer CA. Takes 0.6 s. */
  ekCertificate?: boolean
  /** The CA's directory, made when empty; several TPMs may have the same maker. Default: one of its own. */
  caDirectory?: string
  /** Banks that are allocated, with commas between; default: those of swtpm, or with an EK certificate SHA-1, SHA-256 and SHA-384. */
  banks?: string
  /** On this TCP port and the next instead of a unix socket: some clients know nothing else. */
  port?: number
}

export interface Swtpm {
  /** For `TCTI` and `openTpm`. */
  tcti: string
  directory: string
  /** The manufacturer's certificates (PEM files, root and intermediate): what an operator puts into tpm_cert_store. */
  manufacturerCertificates: string[]
  extendPcr(pcr: number, digest: Buffer, hash?: HashName): Promise<void>
  resetPcr(pcr: number): Promise<void>
  /** Power off and on: transient objects and PCRs are gone. `startup: false` leaves TPM2_Startup to others. */
  powerCycle(options?: { startup?: boolean }): Promise<void>
  /** The process dies as a chip that stops answering; `start` brings it back with its state. */
  kill(): Promise<void>
  start(): Promise<void>
  /** SIGSTOP and SIGCONT: a chip that hangs. */
  suspend(yes: boolean): void
  stop(): Promise<void>
}

/** A fresh software TPM, on a unix socket in a temporary directory; the socket's path is short enough for every client. */
export async function startSwtpm(options: SwtpmOptions = {}): Promise<Swtpm> {
  const directory = fs.mkdtempSync(path.join(os.tmpdir(), 'keylime-swtpm-'))
  const place = placeOf(directory, options.port)
  const ca = options.caDirectory ?? path.join(directory, 'ca')
  if (options.ekCertificate || options.banks) await provision(directory, ca, options)
  let child = await launch(directory, place)
  const withTpm = async (work: (tpm: Tpm) => Promise<void>) => {
    const tpm = await openTpm({ tcti: place.tcti, flushLeaked: false })
    await work(tpm).finally(() => tpm.close())
  }
  return {
    tcti: place.tcti,
    directory,
    manufacturerCertificates: ['issuercert.pem', 'swtpm-localca-rootca-cert.pem'].map((name) => path.join(ca, name)),
    extendPcr: (pcr, digest, hash = 'sha256') => withTpm((tpm) => tpm.pcrExtend(hash, pcr, digest)),
    resetPcr: (pcr) => withTpm((tpm) => tpm.pcrReset(pcr)),
    async powerCycle({ startup = true } = {}) {
      await run('swtpm_ioctl', [...place.ioctl, '-i'])
      if (startup) await withTpm((tpm) => tpm.startup())
    },
    kill: () => end(child, 'SIGKILL'),
    async start() {
      child = await launch(directory, place)
    },
    suspend: (yes) => void child.kill(yes ? 'SIGSTOP' : 'SIGCONT'),
    async stop() {
      await end(child, 'SIGTERM')
      fs.rmSync(directory, { recursive: true, force: true })
    },
  }
}

/** Where a TPM listens, as its program, its clients and its control program spell it. */
interface Place {
  tcti: string
  server: string
  control: string
  ioctl: string[]
  connect: () => net.Socket
  /** Sockets that a killed process leaves behind. */
  files: string[]
}

function placeOf(directory: string, port?: number): Place {
  const socket = path.join(directory, 'sock')
  if (port === undefined)
    return {
      tcti: `swtpm:path=${socket}`,
      server: `type=unixio,path=${socket}`,
      control: `type=unixio,path=${socket}.ctrl`,
      ioctl: ['--unix', `${socket}.ctrl`],
      connect: () => net.connect(socket),
      files: [socket, `${socket}.ctrl`],
    }
  const host = '127.0.0.1'
  return {
    tcti: `swtpm:host=${host},port=${port}`,
    server: `type=tcp,port=${port},bindaddr=${host}`,
    control: `type=tcp,port=${port + 1},bindaddr=${host}`,
    ioctl: ['--tcp', `${host}:${port + 1}`],
    connect: () => net.connect(port, host),
    files: [],
  }
}

async function launch(directory: string, { server, control, connect, files }: Place): Promise<ChildProcess> {
  for (const file of files) fs.rmSync(file, { force: true })
  const args = ['socket', '--tpm2', '--tpmstate', `dir=${directory}`, '--server', server, '--ctrl', control]
  const child = spawn('swtpm', [...args, '--flags', 'not-need-init,startup-clear'], { stdio: ['ignore', 'ignore', 'pipe'] })
  let complaint = ''
  child.stderr?.on('data', (chunk) => (complaint += chunk))
  const failed = Promise.race([
    once(child, 'error').then(([error]) => `${(error as Error).message}`),
    once(child, 'exit').then(([code]) => `exit ${code}`),
  ]).then((reason) => Promise.reject(new Error(`swtpm: ${reason} ${complaint}`)))
  failed.catch(() => {})
  await Promise.race([failed, answers(connect)])
  return child
}

async function answers(connect: () => net.Socket): Promise<void> {
  while (!(await connects(connect()))) await sleep(5)
}

const connects = (client: net.Socket) =>
  new Promise<boolean>((resolve) => {
    client.on('connect', () => {
      client.destroy()
      resolve(true)
    })
    client.on('error', () => resolve(false))
  })

async function end(child: ChildProcess, signal: 'SIGTERM' | 'SIGKILL'): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return
  child.kill(signal)
  await once(child, 'exit')
}

const BANKS = 'sha1,sha256,sha384'

async function provision(directory: string, ca: string, { ekCertificate, banks = BANKS }: SwtpmOptions): Promise<void> {
  fs.mkdirSync(ca, { recursive: true, mode: 0o700 })
  const config = path.join(ca, 'swtpm_setup.conf')
  if (!fs.existsSync(config)) writeCaConfig(ca, config)
  const args = ['--tpm2', '--tpmstate', `dir://${directory}`, '--config', config, ...(ekCertificate ? ['--create-ek-cert'] : [])]
  const log = path.join(directory, 'setup.log')
  const rest = ['--pcr-banks', banks, '--not-overwrite', '--logfile', log]
  await run('swtpm_setup', [...args, ...rest]).catch((error: Error) => {
    throw new Error(`swtpm_setup: ${error.message} ${fs.existsSync(log) ? fs.readFileSync(log, 'utf8') : ''}`)
  })
}

function writeCaConfig(ca: string, config: string): void {
  const settings = {
    statedir: ca,
    signingkey: `${ca}/signkey.pem`,
    issuercert: `${ca}/issuercert.pem`,
    certserial: `${ca}/certserial`,
  }
  const lines = (entries: object) =>
    `${Object.entries(entries)
      .map(([key, value]) => `${key} = ${value}`)
      .join('\n')}\n`
  fs.writeFileSync(path.join(ca, 'swtpm-localca.conf'), lines(settings))
  fs.writeFileSync(
    path.join(ca, 'swtpm-localca.options'),
    '--platform-manufacturer Keylime\n--platform-version 2.1\n--platform-model test\n',
  )
  const tool = {
    create_certs_tool: '/usr/bin/swtpm_localca',
    create_certs_tool_config: `${ca}/swtpm-localca.conf`,
    create_certs_tool_options: `${ca}/swtpm-localca.options`,
    active_pcr_banks: BANKS,
  }
  fs.writeFileSync(config, lines(tool))
}
