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

const RUNS_OF_A_PROCESS = 25 // vm modules are never freed
const LOW_PRIORITY = 15

/** Runs test files of a tree in one warm process of low priority. */
export class TestRunner {
  readonly #root: string
  #child: ChildProcess | null = null
  #runs = 0

  constructor(root: string) {
    this.#root = root
    process.once('exit', () => this.stop())
  }

  /** @param tests patterns of test files. @param seconds after which they count as failed: a mutant may loop without end. */
  run(tests: readonly string[], seconds: number): Promise<TestRun> {
    if (this.#runs >= RUNS_OF_A_PROCESS) this.stop()
    const child = this.#started()
    this.#runs++
    return new Promise((resolve) => {
      const end = (run: TestRun, reusable: boolean) => {
        clearTimeout(timer)
        child.removeAllListeners()
        if (!reusable) this.stop()
        resolve(run)
      }
      const timer = setTimeout(() => end({ passed: false, count: 0, failed: ['time-out'] }, false), seconds * 1000)
      child.once('message', (run) => end(run as TestRun, true))
      child.once('exit', (code) => end({ passed: false, count: 0, failed: [`the process of the tests ended (${code})`] }, false))
      child.send({ root: this.#root, tests })
    })
  }

  stop(): void {
    this.#child?.kill('SIGKILL')
    this.#child = null
    this.#runs = 0
  }

  #started(): ChildProcess {
    if (this.#child) return this.#child
    const execArgv = ['--experimental-vm-modules', '--disable-warning=ExperimentalWarning', '--max-old-space-size=1500']
    const child = fork(path.join(import.meta.dirname, 'test-process.ts'), {
      cwd: this.#root,
      execArgv,
      stdio: ['ignore', 'ignore', 'ignore', 'ipc'],
    })
    os.setPriority(child.pid!, LOW_PRIORITY)
    this.#child = child
    return child
  }
}
