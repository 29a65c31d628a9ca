/** Aligned columns, the first to the left and the others to the right. */
export function printTable(title: string, head: string[], rows: string[][]): void {
  const all = [head, ...rows]
  const widths = head.map((_, column) => Math.max(...all.map((row) => row[column]!.length)))
  const line = (row: string[]) => row.map((cell, i) => (i === 0 ? cell.padEnd(widths[i]!) : cell.padStart(widths[i]!))).join('   ')
  console.log(`\n${title}\n${all.map(line).join('\n')}`)
}

export function median(values: number[]): number {
  const sorted = values.toSorted((a, b) => a - b)
  return sorted[sorted.length >> 1]!
}

/** Milliseconds with as many digits as mean something. */
export const ms = (value: number): string => (value >= 10 ? value.toFixed(0) : value.toFixed(1))
