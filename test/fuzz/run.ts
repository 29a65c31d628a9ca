// `npm run fuzz -- --minutes N`: fuzzes the readers of outside bytes, N minutes in all, each target its share. CONTRIBUTING.md says what to do with a finding.
//   --target T,…   only these
//   --list         the targets
//   --keep         afterwards, or without --minutes at once, what was found interesting is reduced and kept in test/vectors/fuzz/corpus
//   --reduce FILE  makes a finding of one target smaller, and says what is wrong with it
import path from 'node:path'
import { parseArgs } from 'node:util'
import { CACHE } from './debian13.ts'
import { fuzzNative, keepNativeCorpus, NATIVE_TARGETS } from './fuzz-native.ts'
import { fuzzTarget, keepCorpus, prepareTargets } from './fuzz-target.ts'
import type { FuzzerRun } from './fuzzer-run.ts'
import { reduceFile } from './reduce.ts'
import { TARGETS } from './targets.ts'

const { values } = parseArgs({
  options: {
    minutes: { type: 'string' },
    target: { type: 'string' },
    list: { type: 'boolean', default: false },
    keep: { type: 'boolean', default: false },
    reduce: { type: 'string' },
  },
})
for (const name of ['SIGINT', 'SIGTERM'] as const) process.once(name, () => process.exit(130)) // ends the fuzzer, too

const all = [...Object.keys(TARGETS), ...NATIVE_TARGETS]
const chosen = values.target?.split(',') ?? all
const unknown = chosen.filter((name) => !all.includes(name))
const minutes = Number(values.minutes)
if (unknown.length > 0) fail(`no target ${unknown.join(', ')}; npm run fuzz -- --list names them`)
if (values.list) for (const name of all) console.log(name)
else if (values.reduce !== undefined) await reduceOne(values.reduce).catch((error: Error) => fail(error.message))
else if (values.keep && values.minutes === undefined) await keepAll()
else if (!(minutes > 0)) fail('--minutes is missing: how long to fuzz, in all')
else process.exitCode = (await fuzzAll()) > 0 ? 1 : 0

/** @returns targets with a finding. */
async function fuzzAll(): Promise<number> {
  const seconds = Math.max(5, Math.round((minutes * 60) / chosen.length))
  const total = { executions: 0, findings: 0 }
  if (chosen.some((name) => name in TARGETS)) prepareTargets()
  for (const [index, name] of chosen.entries()) {
    const run = await (name in TARGETS ? fuzzTarget(name, seconds) : fuzzNative(name, seconds)).catch((error: Error) => fail(error.message))
    total.executions += run.executions
    if (run.exit !== 0) total.findings++
    console.log(`[${index + 1}/${chosen.length}] ${name.padEnd(20)} ${inWords(run)}`)
    if (run.exit !== 0) console.log(run.finding.replace(/^/gm, '    '))
  }
  if (values.keep) await keepAll()
  console.log(
    `${chosen.length} targets, ${total.executions} executions, ${total.findings} with a finding; corpora are in ${path.join(CACHE, 'corpus')}`,
  )
  return total.findings
}

async function reduceOne(file: string): Promise<void> {
  const target = TARGETS[chosen[0]!]
  if (chosen.length !== 1 || !target) throw new Error('name the one target of the finding, which is not native')
  await reduceFile(target, file)
}

async function keepAll(): Promise<void> {
  for (const name of chosen)
    await (name in TARGETS ? keepCorpus(name) : keepNativeCorpus(name)).catch((error: Error) => fail(error.message))
}

function inWords({ executions, coverage, features, corpus, exit }: FuzzerRun): string {
  return `${executions} executions, ${coverage} edges, ${features} features, ${corpus} inputs${exit === 0 ? '' : `, a FINDING (exit ${exit})`}`
}

function fail(message: string): never {
  console.error(`error: ${message}`)
  process.exit(2)
}
