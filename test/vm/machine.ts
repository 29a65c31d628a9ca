import { spawn } from 'node:child_process'
import { once } from 'node:events'
import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { type CommandResult, command } from '../e2e/deployment.ts'
import { until } from '../servers.ts'

export const CACHE =
  process.env['KEYLIME_VM_CACHE'] ?? path.join(process.env['XDG_CACHE_HOME'] ?? path.join(os.homedir(), '.cache'), 'keylime-vm')

/** One machine of `vm.sh`, which has the verbs. */
export class Machine {
  readonly name: string

  constructor(name: string) {
    this.name = name
  }

  get exists(): boolean {
    return fs.existsSync(this.file('config'))
  }

  /** On the host: its disk, its console, … */
  file(name: string): string {
    return path.join(CACHE, 'machines', this.name, name)
  }

  /** Where the guest's sshd and its agent are reached from the host. */
  get ports(): { ssh: number; agent: number } {
    const config = fs.readFileSync(this.file('config'), 'utf8')
    const port = (name: string) => Number(new RegExp(`${name}_port=(\\d+)`).exec(config)?.[1])
    return { ssh: port('ssh'), agent: port('agent') }
  }

  /** A command of vm.sh. @throws with what it said when it fails. */
  async vm(verb: string, ...args: string[]): Promise<string> {
    const { code, stdout, stderr } = await vm(verb, this.name, ...args)
    if (code !== 0) throw new Error(`vm.sh ${verb} ${this.name}: ${stderr.trim().slice(-3000)}`)
    return stdout
  }

  /** Made anew from another one that is stopped or frozen, and started. */
  async startAs(original: Machine, ...changes: (readonly [verb: string, ...args: string[]])[]): Promise<void> {
    await this.delete()
    await original.vm('copy', this.name)
    for (const [verb, ...args] of changes) await this.vm(verb, ...args)
    await this.vm('start')
  }

  async delete(): Promise<void> {
    if (this.exists) await this.vm('delete')
  }

  /** A shell command as root in the guest, whatever its exit status. */
  run(script: string): Promise<CommandResult> {
    return vm('exec', this.name, script)
  }

  /** @returns what it printed, without the last newline. @throws when its exit status is not 0. */
  async sh(script: string): Promise<string> {
    const { code, stdout, stderr } = await this.run(script)
    if (code !== 0) throw new Error(`${script.slice(0, 200)}: exit ${code}: ${(stderr || stdout).trim().slice(-2000)}`)
    return stdout.trimEnd()
  }

  async write(file: string, content: string): Promise<void> {
    await this.sh(`umask 022; mkdir -p '${path.dirname(file)}'; printf %s '${content.replaceAll("'", "'\\''")}' >'${file}'`)
  }

  /** Waits until systemd says that the agent is registered and serves. @returns its id. */
  async agentServes(seconds = 120): Promise<string> {
    const probe = async () => (await this.run('systemctl is-active keylime-agent')).stdout.trim() === 'active'
    try {
      await until('the agent', probe, seconds)
    } catch {
      const { stdout } = await this.run('systemctl status --no-pager --full --lines=30 keylime-agent')
      throw new Error(`the agent of ${this.name} does not come up:\n${stdout}`)
    }
    const id = /agent ([0-9a-f]{64}) serves/.exec(
      await this.sh('journalctl --unit keylime-agent --boot --output cat | grep serves | tail -1'),
    )?.[1]
    if (!id) throw new Error('the journal does not say which agent serves')
    return id
  }
}

/** The base image, made when it is not there. What it does goes to the terminal. */
export async function buildImage(): Promise<void> {
  const child = spawn('bash', [path.join(import.meta.dirname, 'build-image.sh')], {
    env: environment(),
    stdio: ['ignore', 'inherit', 'inherit'],
  })
  const [code] = await once(child, 'exit')
  if (code !== 0) throw new Error('the image could not be built')
}

const vm = (verb: string, ...args: string[]) => command('bash', [path.join(import.meta.dirname, 'vm.sh'), verb, ...args], environment())
const environment = () => ({ ...process.env, KEYLIME_VM_CACHE: CACHE }) as Record<string, string>
