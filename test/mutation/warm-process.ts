import { type ChildProcess, fork } from 'node:child_process'
import os from 'node:os'
import path from 'node:path'

export interface TestRun {
  /** All of them, and at least one. */
  readonly passed: boolean
  /** Tests that passed. */
  readonly count: number
  /** Names of those that failed; `time-out` when they did not come to an end. */
  readonly failed: readonly string[]
}

export interface WarmProcessOptions {
  /** File beside this one. It answers each message with a `TestRun`. */
  readonly script: string
  readonly directory: string
  readonly nodeOptions: readonly string[]
  /** After so many it starts afresh: modules that were loaded are never freed. */
  readonly runs: number
}

const LOW_PRIORITY = 15

/** Runs tests again and again in one process of low priority, because starting one takes longer than most tests do. */
export class WarmProcess {
  readonly #options: WarmProcessOptions
  #child: ChildProcess | null = null
  #runs = 0

  constructor(options: WarmProcessOptions) {
    this.#options = options
    process.once('exit', () => this.stop())
  }

  /** @param seconds after which its tests count as failed: a mutant may loop without end. */
  run(order: object, seconds: number): Promise<TestRun> {
    if (this.#runs >= this.#options.runs) this.stop()
    const child = this.#started()
    this.#runs++
    return new Promise((resolve) => {
      const end = (run: TestRun, isUsable: boolean) => {
        clearTimeout(timer)
        child.removeAllListeners()
        if (!isUsable) this.stop()
        resolve(run)
      }
      const timer = setTimeout(() => end(failure('time-out'), false), seconds * 1000)
      child.once('message', (run) => end(run as TestRun, true))
      child.once('exit', (code) => end(failure(`the process of the tests ended (${code})`), false))
      child.send(order)
    })
  }

  stop(): void {
    this.#child?.kill('SIGKILL')
    this.#child = null
    this.#runs = 0
  }

  #started(): ChildProcess {
    if (this.#child) return this.#child
    const { script, directory, nodeOptions } = this.#options
    const execArgv = [...nodeOptions, '--disable-warning=ExperimentalWarning', '--max-old-space-size=1500']
    this.#child = fork(path.join(import.meta.dirname, script), { cwd: directory, execArgv, stdio: ['ignore', 'ignore', 'ignore', 'ipc'] })
    os.setPriority(this.#child.pid!, LOW_PRIORITY)
    return this.#child
  }
}

const failure = (why: string): TestRun => ({ passed: false, count: 0, failed: [why] })
