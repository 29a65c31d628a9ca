import { type ChildProcess, fork } from 'node:child_process'
import fs from 'node:fs'
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

/** What tests may take, in seconds. Of the clock only what no machine under load needs: a mutant may wait for what never comes. */
export interface Limits {
  /** Of the processor, that of processes that it started and waited for included. */
  readonly processor: number
  readonly clock: number
}

/** A run, and what it took in seconds. */
export type TimedRun = TestRun & Limits

export interface WarmProcessOptions {
  /** File beside this one. It answers each message with a `TestRun`. */
  readonly script: string
  readonly directory: string
  readonly nodeOptions: readonly string[]
  /** After so many it starts afresh: modules that were loaded are never freed. */
  readonly runs: number
}

const LOW_PRIORITY = 15
const LOOK_MS = 200

/** Runs tests again and again in one process of low priority, because starting one takes longer than most tests do. */
export class WarmProcess {
  readonly #options: WarmProcessOptions
  #child: ChildProcess | null = null
  #runs = 0

  constructor(options: WarmProcessOptions) {
    this.#options = options
    process.once('exit', () => this.stop())
  }

  /** @param limits beyond which its tests count as failed: a mutant may loop without end. */
  run(order: object, limits: Limits): Promise<TimedRun> {
    if (this.#runs >= this.#options.runs) this.stop()
    const child = this.#started()
    this.#runs++
    const [start, before] = [performance.now(), processorSeconds(child.pid!)]
    let taken: Limits = { processor: 0, clock: 0 }
    const look = () => {
      const processor = Math.max(taken.processor, processorSeconds(child.pid!) - before) // one that has ended has none
      taken = { processor, clock: (performance.now() - start) / 1000 }
    }
    return new Promise((resolve) => {
      const end = (run: TestRun, isUsable: boolean) => {
        clearInterval(timer)
        look()
        child.removeAllListeners()
        if (!isUsable) this.stop()
        resolve({ ...run, ...taken })
      }
      const timer = setInterval(() => {
        look()
        if (taken.processor > limits.processor || taken.clock > limits.clock) end(failure('time-out'), false)
      }, LOOK_MS)
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

/** What a process and those that it waited for have used; 0 for one that is not there. */
export function processorSeconds(pid: number): number {
  try {
    const text = fs.readFileSync(`/proc/${pid}/stat`, 'utf8')
    const fields = text
      .slice(text.lastIndexOf(')') + 2)
      .split(' ')
      .slice(11, 15) // utime, stime, cutime, cstime (proc(5))
    return fields.reduce((sum, ticks) => sum + Number(ticks), 0) / TICKS_A_SECOND
  } catch {
    return 0
  }
}

/** USER_HZ of every Linux that Node runs on. */
const TICKS_A_SECOND = 100

const failure = (why: string): TestRun => ({ passed: false, count: 0, failed: [why] })
