/** Ends a script that is at work when another payload waits for it, after some time: one that hangs must not hold up the next. */
export class ScriptHandover {
  readonly #abort = new AbortController()
  readonly #seconds: number
  #timer: NodeJS.Timeout | undefined

  /** @param seconds that the script still has. */
  constructor(seconds: number) {
    this.#seconds = seconds
  }

  /** Aborted when the time is over. */
  get signal(): AbortSignal {
    return this.#abort.signal
  }

  /** Another payload waits. Later ones change nothing. */
  begin(): void {
    this.#timer ??= setTimeout(() => this.#abort.abort(), this.#seconds * 1000)
  }

  /** The script has ended. */
  end(): void {
    clearTimeout(this.#timer)
  }
}
