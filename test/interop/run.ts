// `npm run interop [-- PART…]`: our executable and upstream's real parts, together and side by side. Parts are cells, command-lines, differential, push, rust-directory, skew, take-over and zeromq.
//   --cells NAME,…   only these cells (registrar-verifier-tenant-agent, such as ours-theirs-ours-python)
//   --long           the differential part with 10,000 mutations and more
//   --fresh          also what passed before with these very executables
import { existsSync, readFileSync } from 'node:fs'
import { parseArgs } from 'node:util'
import { KEYLIME } from '../e2e/deployment.ts'
import { cells, push, rustDirectory, skew, zeromq } from './cells.ts'
import { commandLines } from './command-lines/compare-tenants.ts'
import { differential } from './differential/compare.ts'
import { writePage } from './page.ts'
import { stopAll } from './processes.ts'
import { type Case, type Outcome, type Result, Results } from './results.ts'
import { takeOver } from './take-over.ts'
import { CURRENT, installRelease, LAST_PYTHON_AGENT, OLDEST } from './upstream.ts'

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    cells: { type: 'string' },
    ...{ long: { type: 'boolean', default: false }, fresh: { type: 'boolean', default: false }, help: { type: 'boolean', default: false } },
  },
})
if (values.help) {
  console.log(
    readFileSync(import.meta.filename, 'utf8')
      .split('\nimport ')[0]!
      .replace(/^\/\/ ?/gm, ''),
  )
  process.exit()
}
const PARTS: Record<string, () => Case[]> = {
  cells,
  'command-lines': commandLines,
  differential: () => differential(values.long),
  push,
  'rust-directory': rustDirectory,
  skew,
  'take-over': takeOver,
  zeromq,
}
for (const part of positionals) if (!PARTS[part]) fail(`no part ${part}; there are ${Object.keys(PARTS).join(', ')}`)
if (process.getuid?.() !== 0) fail('agents mount a tmpfs for their secrets: run as root')
if (!existsSync(KEYLIME) || !existsSync(`${KEYLIME}_verifier`)) fail('bin/keylime is not built\nhint: npm run build')

for (const name of ['SIGINT', 'SIGTERM'] as const) process.once(name, () => void stopAll().finally(() => process.exit(130)))

for (const release of [CURRENT, LAST_PYTHON_AGENT, OLDEST]) {
  const start = performance.now()
  await installRelease(release).catch((error: Error) => fail(error.message))
  console.log(`upstream ${release}: installed (${seconds(start)} s)`)
}

const chosen = Object.entries(PARTS)
  .filter(([part]) => positionals.length === 0 || positionals.includes(part))
  .flatMap(([, list]) => list())
  .filter(({ part, name }) => !values.cells || (['cells', 'push'].includes(part) && values.cells.split(',').includes(name)))
const results = new Results()
const total = { passed: 0, failed: 0, skipped: 0 }
for (const [index, one] of chosen.entries()) {
  const result = (!values.fresh && results.done(one)) || (await runCase(one))
  total.passed += result.passed
  total.failed += result.failed
  total.skipped += result.skipped === undefined ? 0 : 1
  const word = result.skipped === undefined ? (result.failed > 0 ? 'FAILED' : 'passed') : 'skipped'
  const counts = result.passed + result.failed > 1 ? `, ${result.passed} of ${result.passed + result.failed}` : ''
  const note = result.skipped ?? `${result.seconds.toFixed(1)} s${counts}`
  console.log(`[${index + 1}/${chosen.length}] ${word}  ${one.part}: ${one.name} (${note})`)
  for (const failure of result.failures) console.log(failure.replace(/^/gm, '    '))
  writePage(results.all)
}
console.log(`${total.passed} passed, ${total.failed} failed, ${total.skipped} skipped`)
await stopAll() // what a failed case left behind must not keep the suite from ending
process.exit(total.failed > 0 ? 1 : 0)

async function runCase(one: Case): Promise<Result> {
  const start = performance.now()
  const broken = (error: Error): Outcome => ({ passed: 0, failed: 1, facts: {}, failures: [error.stack ?? error.message] })
  const outcome = await one.run().catch(broken)
  return results.record(one, outcome, (performance.now() - start) / 1000)
}

function seconds(start: number): string {
  return ((performance.now() - start) / 1000).toFixed(1)
}

function fail(message: string): never {
  console.error(`error: ${message}`)
  process.exit(2)
}
