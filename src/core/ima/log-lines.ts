/** Lines that one entry may go over: as often a name may hold a newline, which the kernel prints as it is. */
const MAX_LINES = 16
/** Lines of a log for which a continuation is looked for in vain: whoever sends more such lines does not send names. */
const MAX_ATTEMPTS = 100

/** Whether a line begins as the kernel begins each entry: PCR and template hash. */
export const looksLikeEntry = (line: string): boolean => /^\d{1,2} [0-9a-fA-F]{40,128} /.test(line)

/** The lines of a log, one after another. */
export class LogLines {
  /** Lines so far, in the way in which agents count: those that are not empty, and all that an entry goes over. */
  count = 0
  readonly #list: string
  #start = 0
  #attempts = 0
  #continued: { start: number; lines: number } | null = null

  constructor(list: string) {
    this.#list = list
  }

  /** The next line that is not empty; null at the end. */
  next(): string | null {
    while (this.#start < this.#list.length) {
      const end = this.#endOf(this.#start)
      const line = this.#list.slice(this.#start, end)
      this.#start = end + 1
      if (line === '') continue
      this.count++
      return line
    }
    return null
  }

  /** The last line with those behind it, one more each time: its name may hold a newline. Which of them it is says the template hash. */
  *continuations(line: string): Generator<string> {
    if (this.#attempts >= MAX_ATTEMPTS) return
    let text = line
    let start = this.#start
    for (let lines = 1; lines < MAX_LINES && start < this.#list.length; lines++) {
      const end = this.#endOf(start)
      text += `\n${this.#list.slice(start, end)}`
      start = end + 1
      this.#continued = { start, lines }
      yield text
    }
    this.#attempts++
  }

  /** The text that `continuations` gave last is one entry. */
  takeContinuation(): void {
    this.#start = this.#continued!.start
    this.count += this.#continued!.lines
  }

  #endOf(start: number): number {
    const newline = this.#list.indexOf('\n', start)
    return newline < 0 ? this.#list.length : newline
  }
}
