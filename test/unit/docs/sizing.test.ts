import fs from 'node:fs'
import path from 'node:path'

const page = fs.readFileSync(path.resolve(import.meta.dirname, '../../../docs/guide/sizing.md'), 'utf8')

/** `1,000` and `1.3 GB` as a number, the latter in MB. */
const numberIn = (cell: string) => Number(/[\d.,]+/.exec(cell)![0].replaceAll(',', '')) * (cell.includes('GB') ? 1000 : 1)
const rowsUnder = (heading: string) =>
  page
    .split(`## ${heading}`)[1]!
    .split('\n## ')[0]!
    .split('\n')
    .filter((line) => /^\| \d/.test(line))
    .map((line) =>
      line
        .split('|')
        .slice(1, -1)
        .map((cell) => cell.trim()),
    )
const numbersOf = (pattern: RegExp) => pattern.exec(page)!.slice(1).map(Number)

/** The formulas as the page has them. */
const [baseMb, machineMb] = numbersOf(/`memory = (\d+) MB \+ ([\d.]+) MB × machines/) as [number, number]
/** At intervals of a minute and more, so many connections are kept; each machine beyond them takes less. */
const [keptThousands, restMb] = numbersOf(/the default is (\d+),000 at most\. Beyond it, a machine costs ([\d.]+) MB/) as [number, number]
function memoryOf(machines: number, interval: number): number {
  const kept = interval < 60 ? machines : Math.min(machines, keptThousands * 1000)
  return baseMb + machineMb * kept + restMb * (machines - kept)
}
const [kiloBytes] = numbersOf(/^([\d.]+) kB for each attestation in both directions/m) as [number]
const [costMs] = numbersOf(/keeps its connection, [\d,]+ a second \| ([\d.]+) ms/) as [number]

test.each(rowsUnder('In short'))(
  '%s machines at %s: the row follows from the formulas',
  (machines, interval, rate, processors, memory, network) => {
    const each = numberIn(machines!) / numberIn(interval!)
    const near = (found: number, wanted: number) => expect([wanted, found / wanted]).toEqual([wanted, expect.closeTo(1, 0.8)])
    near(numberIn(rate!), each)
    near(numberIn(memory!), memoryOf(numberIn(machines!), numberIn(interval!)))
    near(numberIn(network!), (each * kiloBytes * 8) / 1000)
    expect(numberIn(processors!)).toBeGreaterThanOrEqual((each * costMs) / 1000 - 0.01)
  },
)

test('more cores: each line has as many machines as its rate allows', () => {
  const rows = rowsUnder('More cores')
  expect(rows.length).toBeGreaterThan(2)
  for (const [, , rate, atTwo] of rows) expect(numberIn(atTwo!)).toBe(2 * numberIn(rate!))
})
