/** How durations are spread: as cheap as an addition, because each attestation of each machine adds some. */
export class Tally {
  readonly #bounds: readonly number[]
  readonly #counts: Float64Array
  #sum = 0

  /** @param bounds upper bounds in seconds, rising. */
  constructor(bounds: readonly number[]) {
    this.#bounds = bounds
    this.#counts = new Float64Array(bounds.length + 1)
  }

  add(seconds: number): void {
    let at = 0
    while (at < this.#bounds.length && seconds > this.#bounds[at]!) at++
    this.#counts[at]!++
    this.#sum += seconds
  }

  /** In the form of a histogram of Prometheus: each bucket has those of the smaller ones, too. */
  read(): { buckets: { le: number | '+Inf'; count: number }[]; sum: number; count: number } {
    let count = 0
    const buckets = [...this.#bounds, '+Inf' as const].map((le, i) => {
      count += this.#counts[i]!
      return { le, count }
    })
    return { buckets, sum: this.#sum, count }
  }
}
