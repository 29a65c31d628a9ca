import { type ChildProcessWithoutNullStreams, spawn } from 'node:child_process'
import { once } from 'node:events'
import { until } from './servers.ts'

const START = {
  bash: { command: 'bash --norc --noprofile -i', ready: 'bind "set bell-style none"' },
  zsh: { command: 'zsh -f -i', ready: 'autoload -U compinit; compinit -u -D' },
  fish: { command: 'fish --no-config -i', ready: 'true' },
} as const

export type Shell = keyof typeof START

/** A shell on a terminal of its own. `keylime` in it prints its arguments, so that a line that was completed says what came of it. */
export class ShellSession {
  readonly #child: ChildProcessWithoutNullStreams
  readonly #shell: Shell
  #shown = ''
  #count = 0

  constructor(shell: Shell, { cwd, env }: { cwd: string; env: NodeJS.ProcessEnv }) {
    this.#shell = shell
    this.#child = spawn('script', ['-qefc', START[shell].command, '/dev/null'], { cwd, env: { ...env, TERM: 'dumb' } })
    this.#child.stdout.on('data', (chunk) => (this.#shown += chunk))
    this.#child.stderr.on('data', (chunk) => (this.#shown += chunk))
  }

  /** Reads the script of completions, from a file. */
  async load(script: string): Promise<void> {
    const keylime = this.#shell === 'fish' ? `function keylime; printf '<%s>' $argv; echo; end` : `keylime() { printf '<%s>' "$@"; echo; }`
    this.#child.stdin.write(`${START[this.#shell].ready}\n. ${script}\n${keylime}\necho lo""aded\n`)
    await until(`${this.#shell} is ready`, () => this.#shown.includes('loaded\r'))
  }

  /** The arguments that keylime gets when somebody types `line`, a tab, and enter. */
  async completed(line: string): Promise<string[]> {
    const before = this.#shown.length
    this.#child.stdin.write(`${line}\t\n`)
    this.#count++
    this.#child.stdin.write(`echo do""ne ${this.#count}\n`)
    await until(`${line} is completed:\n${this.#shown.slice(before)}`, () => this.#shown.slice(before).includes(`done ${this.#count}\r`))
    const [printed = ''] = /^(<.*>)\r?$/m.exec(this.#shown.slice(before)) ?? []
    return [...printed.matchAll(/<([^>]*)>/g)].map((match) => match[1]!)
  }

  async end(): Promise<void> {
    this.#child.kill('SIGKILL')
    await once(this.#child, 'close')
  }
}
