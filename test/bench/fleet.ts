import { KEYLIME } from '../e2e/deployment.ts'
import { DATABASE_PARTS } from './fleet/database-parts.ts'
import { FLOOR_PARTS } from './fleet/floor-part.ts'
import { readGiven } from './fleet/given.ts'
import { ONCE_PARTS } from './fleet/once-parts.ts'
import { PUSH_PARTS } from './fleet/push-part.ts'
import { RECOVERY_PARTS } from './fleet/recovery-parts.ts'
import { aboutRun, keepResults } from './fleet/results.ts'
import { loadText, type Part, type Row } from './fleet/run.ts'
import { STEADY_PARTS } from './fleet/steady-parts.ts'
import { UPSTREAM_PARTS } from './fleet/upstream-part.ts'
import { printTable } from './table.ts'

const OURS: Record<string, Part> = { ...STEADY_PARTS, ...ONCE_PARTS, ...DATABASE_PARTS, ...RECOVERY_PARTS, ...PUSH_PARTS }
const PARTS: Record<string, Part> = { ...OURS, ...UPSTREAM_PARTS, ...FLOOR_PARTS }
const NAMES = {
  all: Object.keys(OURS),
  quick: ['cost', 'add', 'closing', 'hanging', 'stopped'],
  named: Object.keys({ ...UPSTREAM_PARTS, ...FLOOR_PARTS }),
}

/**
 * A fleet of simulated machines against the built verifier (`keylime lab fleet` has one run of it): what an attestation costs by the number of machines, with large policies and long lists, with machines that close their connections or
 * hang, on both databases and with two verifiers; adding, registering, starting, revoking; and how soon it is back after it was held up. `--agents 10,100,1000,10000` (sizes; the largest for what is done once), `--rate 2500`
 * (attestations a second that are asked for) or `--interval 4` (seconds), `--seconds 20` (of measuring, in five parts), `--parts cost,add,…`, `--quick` for some of them with few machines, `--vs-upstream` for the real verifier
 * of upstream beside ours, `--parts floor` for what this runtime costs at least; `--executable FILE` for another one, `--write` puts the results into docs/performance.
 */
export async function benchFleet(args: readonly string[]): Promise<void> {
  if (args.includes('--help')) console.log(`parts: ${NAMES.all.join(', ')}; only when they are named: ${NAMES.named.join(', ')}`)
  const given = readGiven(args, NAMES, KEYLIME)
  const results: Record<string, Row[]> = {}
  let file = ''
  for (const part of given.parts) {
    const [title, rows] = await PARTS[part]!(given)
    results[part] = rows
    printTable(
      `${title} (load ${loadText()})`,
      Object.keys(rows[0]!),
      rows.map((row) => Object.values(row).map(String)),
    )
    if (given.writes) file = keepResults('fleet', aboutRun(given), results) // also when it is ended before its last part
  }
  if (given.writes) console.log(`written to ${file}`)
}
