/** The middle of several measurements of the same thing, and how far they lie apart: the machine's noise. */
export interface Figure {
  median: number
  lowest: number
  highest: number
}

export function figureOf(values: readonly number[]): Figure {
  const sorted = values.toSorted((a, b) => a - b)
  return { median: sorted[sorted.length >> 1] ?? 0, lowest: sorted[0] ?? 0, highest: sorted.at(-1) ?? 0 }
}

export const figureText = ({ median, lowest, highest }: Figure, digits: number): string =>
  `${median.toFixed(digits)} (${lowest.toFixed(digits)} to ${highest.toFixed(digits)})`

/** Counts of a histogram of Prometheus: how many were no longer than each bound, in seconds. */
export type Histogram = ReadonlyMap<number, number>

/** @param name with labels but `le`, such as `x_seconds` and `stage="ask"`. */
export function histogramIn(text: string, name: string, label = ''): Histogram {
  const found = new Map<number, number>()
  for (const line of text.split('\n')) {
    if (!line.startsWith(`${name}_bucket{`) || !line.includes(label)) continue
    const bound = /le="([^"]+)"/.exec(line)![1]!
    found.set(bound === '+Inf' ? Number.POSITIVE_INFINITY : Number(bound), Number(line.slice(line.lastIndexOf(' ') + 1)))
  }
  return found
}

/** What came between two readings. */
export const between = (before: Histogram, after: Histogram): Histogram =>
  new Map([...after].map(([bound, count]) => [bound, count - (before.get(bound) ?? 0)]))

/** Milliseconds that a share of all took at most, as Prometheus reckons it: between two bounds evenly. */
export function quantileMs(histogram: Histogram, share: number): number {
  const bounds = [...histogram].toSorted(([a], [b]) => a - b)
  const total = bounds.at(-1)?.[1] ?? 0
  let [low, counted] = [0, 0]
  for (const [bound, count] of bounds) {
    if (count >= share * total && total > 0) {
      if (bound === Number.POSITIVE_INFINITY) return low * 1000
      return (low + ((bound - low) * (share * total - counted)) / Math.max(1, count - counted)) * 1000
    }
    ;[low, counted] = [bound, count]
  }
  return 0
}

/** A figure without a histogram; 0 for none. */
export function valueIn(text: string, line: string): number {
  const found = text.split('\n').find((one) => one.startsWith(`${line} `))
  return found === undefined ? 0 : Number(found.slice(line.length + 1))
}
