/** Thrown when a judgement would cost more than it may where others wait for it. Says nothing of what is judged: it is judged elsewhere. */
export class TooMuchEffort extends Error {}

/**
 * What a judgement has cost so far, in microseconds as they were measured of its parts. Reckoned and not timed, so that the same evidence always goes the
 * same way, and before a part begins, because none can be interrupted.
 */
export class Effort {
  #left: number

  constructor(microseconds: number) {
    this.#left = microseconds
  }
  /** @throws TooMuchEffort */
  spend(microseconds: number): void {
    this.#left -= microseconds
    if (this.#left < 0) throw new TooMuchEffort('this is more work than may be done here')
  }
}
