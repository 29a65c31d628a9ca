import fs from 'node:fs'
import path from 'node:path'
import { writeServiceConfig } from '../config-files.ts'
import { runCommand } from '../processes.ts'
import type { Case, Outcome } from '../results.ts'
import { CURRENT, cacheDirectory, programOf } from '../upstream.ts'
import { bootMachines, imaMachines, type Parts, signed, staticMachines } from './evidence.ts'
import { keptRule } from './kept.ts'
import { type Mutation, mutateBoot, mutateIma, mutateQuote, mutateStatic } from './mutate.ts'
import { hasPassed, ourVerdict, type Verdict } from './our-verdict.ts'
import { Random } from './random.ts'

interface Kind {
  name: string
  machines(): Parts[]
  mutate(parts: Parts, random: Random): Mutation
  /** Mutations in the short run and in the long one. */
  counts: readonly [number, number]
}

const KINDS: readonly Kind[] = [
  { name: 'quotes', machines: staticMachines, mutate: mutateQuote, counts: [500, 5_000] },
  { name: 'static policies', machines: staticMachines, mutate: mutateStatic, counts: [200, 2_000] },
  { name: 'IMA lists and runtime policies', machines: imaMachines, mutate: mutateIma, counts: [500, 8_000] },
  { name: 'boot logs and reference states', machines: bootMachines, mutate: mutateBoot, counts: [60, 1_000] },
]
const BATCH = 500
const SHOWN = 5
const DIED = 'the process of the judge was killed by a signal'

/** The same evidence judged by upstream's code and by ours: recorded evidence as it is, and mutations of it that are the same at every run. */
export const differential = (long: boolean): Case[] =>
  KINDS.map((kind) => {
    const count = kind.counts[long ? 1 : 0]
    return { part: 'differential', name: `${kind.name}, ${count} mutations`, run: () => compare(kind, count) }
  })

async function compare(kind: Kind, count: number): Promise<Outcome> {
  const machines = kind.machines()
  const tally: Record<string, number> = { 'both pass': 0, 'both fail': 0, 'other event id': 0 }
  const add = (what: string) => (tally[what] = (tally[what] ?? 0) + 1)
  const failures: string[] = []
  const seeds = Array.from({ length: machines.length + count }, (_, i) => i)
  for (let start = 0; start < seeds.length; start += BATCH) {
    const mutations = seeds.slice(start, start + BATCH).map((seed) => mutationOf(kind, machines, seed))
    const theirVerdicts = await judgeByUpstream(mutations)
    mutations.forEach((mutation, i) => {
      const [ours, theirs] = [ourVerdict(mutation.evidence), theirVerdicts[i]!]
      const rule = difference(mutation, ours, theirs)
      if (rule === 'bug')
        failures.push(`${mutation.what} (seed ${start + i}): ours ${JSON.stringify(ours)}, theirs ${JSON.stringify(theirs)}`)
      else if (rule) add(rule)
      else {
        add(hasPassed(ours) ? 'both pass' : 'both fail')
        if ('raised' in theirs) add(theirs.raised === DIED ? "upstream's process died" : 'upstream raised an exception')
        else if (eventsOf(ours) !== eventsOf(theirs)) add('other event id')
      }
    })
  }
  const facts = Object.fromEntries(Object.entries(tally).map(([what, n]) => [what, String(n)]))
  return { passed: seeds.length - failures.length, failed: failures.length, facts, failures: failures.slice(0, SHOWN) }
}

/** The first seeds are the machines as they were recorded. */
function mutationOf({ mutate }: Kind, machines: Parts[], seed: number): Mutation {
  const parts = machines[seed % machines.length]!
  return seed < machines.length ? { what: 'recorded', evidence: signed(parts) } : mutate(parts, new Random(seed))
}

/** @returns undefined when the verdicts agree; the name of the rule that allows their difference; `bug` when none does. */
function difference(mutation: Mutation, ours: Verdict, theirs: Verdict): string | undefined {
  if ('raised' in ours) return 'bug'
  if (mutation.what === 'recorded' && !(hasPassed(ours) && hasPassed(theirs))) return 'bug'
  if (hasPassed(ours) === hasPassed(theirs)) return undefined
  return keptRule(mutation, ours, theirs)?.name ?? 'bug'
}

const eventsOf = (verdict: Verdict) => ('events' in verdict ? [...new Set(verdict.events)].sort().join(' ') : '')

/** One verdict for each mutation. A mutation that kills upstream's process has its verdict too, and the others go on without it. */
async function judgeByUpstream(mutations: readonly Mutation[]): Promise<Verdict[]> {
  const dir = path.join(cacheDirectory(), 'runs/differential')
  fs.mkdirSync(dir, { recursive: true })
  const config = writeServiceConfig(path.join(dir, 'etc'), { verifier: 1, registrar: 2, registrarTls: 3, zeromq: null }) // nothing listens
  const env = { PATH: process.env['PATH'] ?? '', HOME: dir, KEYLIME_DIR: dir, ...config }
  const input = mutations.map(({ evidence }) => `${JSON.stringify(evidence)}\n`).join('')
  const command = [programOf(CURRENT, 'python'), path.join(import.meta.dirname, 'judge.py')]
  const { code, stdout, stderr } = await runCommand(command, { env, cwd: dir, input, seconds: 300 })
  const verdicts = stdout
    .split('\n')
    .slice(0, -1)
    .map((line) => JSON.parse(line) as Verdict)
  if (code === 0 && verdicts.length === mutations.length) return verdicts
  if (code !== null || verdicts.length >= mutations.length) throw new Error(`upstream's judge ended with ${code}:\n${stderr}`)
  const rest = mutations.slice(verdicts.length + 1)
  return [...verdicts, { raised: DIED }, ...(rest.length > 0 ? await judgeByUpstream(rest) : [])]
}
