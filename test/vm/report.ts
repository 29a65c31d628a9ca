/** What a part throws when the steps after a failed one would tell nothing. */
class PartEnded extends Error {}

/** Counts and prints steps: one line each, as it ends. */
export class Report {
  #passed = 0
  #failed = 0
  #skipped = 0

  /** Steps of one part, which may end at its first failure without ending the run. */
  async part(title: string, work: () => Promise<void>): Promise<void> {
    const began = performance.now()
    process.stdout.write(`\n${title}\n`)
    try {
      await work()
    } catch (error) {
      if (!(error instanceof PartEnded)) this.#failure(`${title}: ${messageOf(error)}`)
    }
    process.stdout.write(`        ${seconds(began)} in all\n`)
  }

  /** @param work may give a text, such as what was measured. The part ends when it throws. */
  async step(name: string, work: () => Promise<unknown>): Promise<void> {
    const began = performance.now()
    try {
      const remark = await work()
      this.#passed++
      process.stdout.write(`ok      ${name} (${seconds(began)})${typeof remark === 'string' ? `: ${remark}` : ''}\n`)
    } catch (error) {
      this.#failure(`${name} (${seconds(began)}): ${messageOf(error)}`)
      throw new PartEnded()
    }
  }

  skip(name: string, why: string): void {
    this.#skipped++
    process.stdout.write(`skipped ${name}: ${why}\n`)
  }

  /** The last line. @returns the exit code. */
  end(): number {
    process.stdout.write(`\n${this.#passed} passed, ${this.#failed} failed, ${this.#skipped} skipped\n`)
    return this.#failed === 0 ? 0 : 1
  }

  #failure(text: string): void {
    this.#failed++
    process.stdout.write(`FAILED  ${text}\n`)
  }
}

const seconds = (began: number) => `${((performance.now() - began) / 1000).toFixed(1)} s`
const messageOf = (error: unknown) => (error instanceof Error ? error.message : String(error))
