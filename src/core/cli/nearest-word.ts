const MAX_SLIPS = 2

/** The word that was probably meant: at most two letters wrong, missing, too many or swapped. Undefined when none is that near. */
export function nearestWord(typed: string, words: readonly string[]): string | undefined {
  const ranked = words.map((word) => ({ word, slips: slips(typed.toLowerCase(), word) })).sort((a, b) => a.slips - b.slips)
  const [best] = ranked
  return best && best.slips <= MAX_SLIPS && best.slips < best.word.length ? best.word : undefined
}

/** Optimal string alignment distance. */
function slips(a: string, b: string): number {
  const rows: number[][] = [Array.from({ length: b.length + 1 }, (_, j) => j)]
  for (let i = 1; i <= a.length; i++) {
    const row = [i]
    for (let j = 1; j <= b.length; j++) {
      const same = a[i - 1] === b[j - 1] ? 0 : 1
      const swapped = i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1] ? rows[i - 2]![j - 2]! + 1 : Number.POSITIVE_INFINITY
      row.push(Math.min(rows[i - 1]![j]! + 1, row[j - 1]! + 1, rows[i - 1]![j - 1]! + same, swapped))
    }
    rows.push(row)
  }
  return rows.at(-1)!.at(-1)!
}
