import { median } from './table.ts'

const ROUNDS = 7
const ROUND_MS = 300

/** How often `work` is done in a second of one core: the median of some rounds. */
export function perSecond(work: () => void): number {
  const rates = Array.from({ length: ROUNDS }, () => {
    const start = performance.now()
    let count = 0
    while (performance.now() - start < ROUND_MS) {
      for (let i = 0; i < 50; i++) work()
      count += 50
    }
    return (count / (performance.now() - start)) * 1000
  })
  return median(rates)
}
