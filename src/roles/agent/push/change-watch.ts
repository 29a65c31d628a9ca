import type { Logger } from '../../../io/log/logger.ts'

export interface ChangeWatchOptions {
  /** Another number when the measurement list is another; null when that cannot be said. It costs next to nothing. */
  list(): number | null
  /** How often PCRs were changed since the TPM was started; null where the TPM is not asked. */
  pcrs: (() => Promise<number>) | null
  /** Milliseconds between two questions to the TPM. */
  pcrsMs: number
  /** Told once, until what is there now is proven. @param why as words. */
  changed(why: string): void
  logger: Logger
}

const LOOK_MS = 250
/** A program brings its libraries: one attestation for all of them. */
const QUIET_MS = 100

/** Sees that the machine has changed since it was proven last, without a busy loop: a few system calls a second, and a short command of the TPM now and then. */
export class ChangeWatch {
  readonly #options: ChangeWatchOptions
  readonly #timers: NodeJS.Timeout[] = []
  #list: number | null = null
  #pcrs: number | null = null
  /** Something changed, and is told or about to be. */
  #isSeen = false
  #asking = false
  #failed = false

  constructor(options: ChangeWatchOptions) {
    this.#options = options
  }

  start(): void {
    this.#timers.push(setInterval(() => this.#look(), LOOK_MS))
    if (this.#options.pcrs) this.#timers.push(setInterval(() => void this.#ask(), this.#options.pcrsMs))
  }

  stop(): void {
    for (const timer of this.#timers.splice(0)) clearTimeout(timer)
  }

  /** What is there now is going to be proven: before its quote is taken. Never throws. */
  async proving(): Promise<void> {
    this.#isSeen = false
    this.#list = this.#options.list()
    this.#pcrs = await this.#counter()
  }

  #look(): void {
    const list = this.#options.list()
    if (list !== null && this.#list !== null && list !== this.#list) this.#see('the measurement list has grown')
  }

  /** One question at a time: a TPM may take long. */
  async #ask(): Promise<void> {
    if (this.#asking || this.#isSeen || this.#pcrs === null) return
    this.#asking = true
    const proven = this.#pcrs
    const now = await this.#counter()
    this.#asking = false
    if (now !== null && proven === this.#pcrs && now !== proven) this.#see('PCRs were changed')
  }

  async #counter(): Promise<number | null> {
    try {
      const counter = (await this.#options.pcrs?.()) ?? null
      this.#failed = false
      return counter
    } catch (error) {
      if (!this.#failed) this.#options.logger.debug(`the TPM does not say whether PCRs were changed: ${(error as Error).message}`)
      this.#failed = true
      return null
    }
  }

  #see(why: string): void {
    if (this.#isSeen || this.#timers.length === 0) return
    this.#isSeen = true
    const timer = setTimeout(() => {
      this.#timers.splice(this.#timers.indexOf(timer), 1)
      if (this.#isSeen) this.#options.changed(why)
    }, QUIET_MS)
    this.#timers.push(timer)
  }
}
