import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { until } from '../servers.ts'
import { type CommandResult, KEYLIME } from './deployment.ts'

const SHIMS = path.join(import.meta.dirname, 'hosts')

/** A network of its own, with hosts that have addresses of their own: every port, path and address is the one that the guide says. */
export class Network {
  readonly dir = fs.mkdtempSync(path.join(os.tmpdir(), 'keylime-net-'))
  readonly #base = path.join(this.dir, 'base')
  readonly #hosts: Host[] = []
  #holder!: ChildProcess

  /** @param addresses IPv4, of the hosts to come. */
  async start(addresses: readonly string[]): Promise<void> {
    const bin = path.join(this.#base, 'usr/local/bin')
    const sbin = path.join(this.#base, 'usr/local/sbin')
    for (const directory of [bin, sbin]) fs.mkdirSync(directory, { recursive: true })
    fs.copyFileSync(KEYLIME, path.join(bin, 'keylime'))
    for (const name of fs.readdirSync(SHIMS)) fs.copyFileSync(path.join(SHIMS, name), path.join(sbin, name))
    const add = addresses.map((address) => `ip addr add ${address}/32 dev lo`)
    this.#holder = held(['unshare', '--net'], ['ip link set lo up', ...add])
    await ready(this.#holder)
  }

  /** A host that is switched on: a copy of this system in which nothing is installed but the executable. Sockets of software TPMs are below /run/chips. */
  async host(name: string): Promise<Host> {
    const root = path.join(this.dir, name)
    for (const part of ['upper', 'work', 'root']) fs.mkdirSync(path.join(root, part), { recursive: true })
    const at = path.join(root, 'root')
    const layers = `lowerdir=${this.#base}:/,upperdir=${root}/upper,workdir=${root}/work`
    const mounts = [
      `mount -t overlay overlay -o ${layers} ${at}`,
      `mount --rbind /dev ${at}/dev`,
      `mount -t tmpfs tmpfs ${at}/sys`,
      `mount -t proc proc ${at}/proc`,
      `mount -t tmpfs tmpfs ${at}/run`,
      `mkdir -p ${at}/run/systemd/system ${at}/run/chips ${at}/root`,
      `mount -t tmpfs tmpfs ${at}/root`,
      `mount --bind ${os.tmpdir()} ${at}/run/chips`,
    ]
    const namespaces = ['nsenter', `--net=/proc/${this.#holder.pid}/ns/net`, 'unshare', '--mount', '--pid', '--fork', '--kill-child']
    const child = held([...namespaces, '--propagation', 'private'], mounts, `exec chroot ${at} bash -c 'echo ready; sleep infinity & wait'`)
    await ready(child)
    const host = new Host(name, child)
    this.#hosts.push(host)
    return host
  }

  async stop(): Promise<void> {
    for (const host of this.#hosts) await host.off()
    await end(this.#holder)
    fs.rmSync(this.dir, { recursive: true, force: true })
  }
}

/** One computer of a network. Its processes and mounts end with it. */
export class Host {
  readonly name: string
  readonly #holder: ChildProcess
  readonly #init: string

  constructor(name: string, holder: ChildProcess) {
    this.name = name
    this.#holder = holder
    this.#init = initOf(holder.pid!)
  }

  /** A file of the host, as the test sees it. */
  at(file: string): string {
    return path.join(`/proc/${this.#init}/root`, path.resolve('/root', file))
  }

  write(file: string, text: string | Buffer, mode = 0o644): void {
    fs.mkdirSync(path.dirname(this.at(file)), { recursive: true })
    fs.writeFileSync(this.at(file), text, { mode })
  }

  read(file: string): string {
    return fs.readFileSync(this.at(file), 'utf8')
  }

  /** Lines that somebody types there as root, in /root. What was typed before does not count. */
  async type(lines: string): Promise<CommandResult> {
    const env = [
      'env',
      '-i',
      '--chdir=/root',
      'HOME=/root',
      'TERM=dumb',
      'LANG=C.UTF-8',
      'PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin',
    ]
    const enter = ['-t', this.#init, '--mount', '--pid', '--net', '--root']
    const child = spawn('nsenter', [...enter, ...env, 'bash', '-c', lines], { stdio: ['ignore', 'pipe', 'pipe'] })
    const result: CommandResult = { code: null, stdout: '', stderr: '' }
    child.stdout.on('data', (chunk) => (result.stdout += chunk))
    child.stderr.on('data', (chunk) => (result.stderr += chunk))
    const [code] = await once(child, 'close')
    return { ...result, code: code as number | null }
  }

  /** As `type`, where anything but 0 is a fault of the test. */
  async must(lines: string): Promise<string> {
    const { code, stdout, stderr } = await this.type(lines)
    if (code !== 0) throw new Error(`${this.name}: ${lines}: exit code ${code}\n${stdout}${stderr}`)
    return stdout
  }

  off(): Promise<void> {
    return end(this.#holder)
  }
}

/** A process that does something first, says so, and keeps its namespaces until it is ended, or the test is. */
function held(enter: readonly string[], first: readonly string[], then = 'echo ready; exec sleep infinity'): ChildProcess {
  const script = ['set -e', ...first, then].join('\n')
  return spawn('setpriv', ['--pdeathsig', 'KILL', ...enter, 'bash', '-c', script], { stdio: ['ignore', 'pipe', 'pipe'] })
}

async function ready(child: ChildProcess): Promise<void> {
  let said = ''
  child.stdout!.on('data', (chunk) => (said += chunk))
  child.stderr!.on('data', (chunk) => (said += chunk))
  await until('the namespaces are made', () => {
    if (child.exitCode !== null) throw new Error(`namespaces cannot be made: ${said}`)
    return said.includes('ready')
  })
}

/** nsenter and unshare become one process; its child is the first of the new process namespace. */
function initOf(pid: number): string {
  return fs.readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim().split(' ')[0]!
}

async function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return
  child.kill('SIGKILL')
  await once(child, 'exit')
}
