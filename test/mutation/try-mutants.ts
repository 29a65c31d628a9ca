import fs from 'node:fs'
import path from 'node:path'
import { applied, type Mutant, mutantsOf } from './mutants.ts'
import type { RelatedTests } from './related-tests.ts'
import { type Room, sourcesOf } from './rooms.ts'
import { survivorOf } from './survivors.ts'
import type { TestRunner } from './test-runners.ts'
import type { Limits } from './warm-process.ts'

export type Outcome = 'killed' | 'time-out' | 'survived'

export interface TriedMutant extends Pick<Mutant, 'line' | 'code' | 'from' | 'to' | 'nth'> {
  readonly file: string
  readonly outcome: Outcome
  /** The tests that failed. */
  readonly by: readonly string[]
}

export interface RoomResult {
  readonly room: string
  /** All that there are, without those that are equivalent. */
  readonly mutants: number
  readonly equivalent: number
  readonly tried: readonly TriedMutant[]
}

export interface Trial {
  readonly quick: TestRunner
  readonly jest: TestRunner
  readonly related: RelatedTests
  /** Mutants of a room at most; undefined tries all. */
  readonly sample: number | undefined
  readonly seed: number
  /** Only these sources. */
  isChosen(file: string): boolean
  tell(mutant: TriedMutant): void
}

// All of the processor: by the clock a machine under load leaves out tests that notice.
const LONGEST_SECONDS = 300
/** A test that takes longer is left to jest, with the slow ones. */
const LONGEST_QUICK_SECONDS = 20
/** Of one that only loads the source somewhere: a longer one costs more than it notices. */
const LONGEST_INDIRECT_SECONDS = 3
/** What tests may take with a fault, beyond four times what they take without. */
const ALLOWANCE_SECONDS = 8
/** A second of the processor may take so many of the clock, where others run. */
const UNDER_LOAD = 6

/** What tests may take of which nothing is known yet. */
export const longest = (processor: number): Limits => ({ processor, clock: UNDER_LOAD * processor })

/** @param taken without a fault. */
export function limitsWithFault(taken: Limits): Limits {
  const { processor, clock } = longest(ALLOWANCE_SECONDS + 4 * taken.processor)
  return { processor, clock: clock + 4 * taken.clock }
}

const read = (file: string) => fs.readFileSync(path.join(import.meta.dirname, '../..', file), 'utf8')

export async function tryRoom(name: string, room: Room, trial: Trial): Promise<RoomResult> {
  const all = sourcesOf(room)
    .filter((file) => trial.isChosen(file))
    .flatMap((file) => mutantsOf(read(file)).map((mutant) => ({ file, mutant })))
  const counted = all.filter(({ file, mutant }) => !survivorOf(file, mutant)?.equivalent)
  const chosen = sampled(counted, trial.sample ?? counted.length, trial.seed)
  const tried: TriedMutant[] = []
  const groups = new Map<string, TestGroup[]>()
  for (const { file, mutant } of chosen) {
    if (!groups.has(file)) groups.set(file, await groupsOf(file, room, trial))
    const one = await tryOne(file, mutant, groups.get(file)!)
    trial.tell(one)
    tried.push(one)
  }
  return { room: name, mutants: counted.length, equivalent: all.length - counted.length, tried }
}

interface TestGroup {
  readonly runner: TestRunner
  readonly tests: readonly string[]
  readonly limits: Limits
}

/** What a test took in the quick process without any fault; null when only jest can run it. Of all sources together. */
const QUICK = new Map<string, Limits | null>()

/** The tests of a source, the quick ones first, with what they may take: each was run without any fault, and passed. */
async function groupsOf(file: string, room: Room, { related, quick, jest }: Trial): Promise<TestGroup[]> {
  const text = read(file)
  const groups: TestGroup[] = []
  const slow: string[] = []
  for (const { test, isDirect } of related.of(file)) {
    if (!QUICK.has(test)) {
      const run = await quick.run({ file, text, tests: [test], limits: longest(LONGEST_QUICK_SECONDS) })
      QUICK.set(test, run.passed ? run : null)
    }
    const taken = QUICK.get(test) ?? null
    if (taken === null && isDirect) slow.push(test)
    if (taken !== null && (isDirect || taken.processor < LONGEST_INDIRECT_SECONDS))
      groups.push({ runner: quick, tests: [test], limits: limitsWithFault(taken) })
  }
  const rank = ({ limits }: TestGroup) => Math.floor(limits.processor / ALLOWANCE_SECONDS)
  groups.sort((a, b) => rank(a) - rank(b))
  for (const tests of [slow, room.integration.map((name) => `test/${name}.test.ts`)].filter(({ length }) => length > 0)) {
    const run = await jest.run({ file, text, tests, limits: longest(LONGEST_SECONDS) })
    if (!run.passed) throw new Error(`without any fault, tests of ${file} fail: ${run.failed.slice(0, 3).join('; ')}`)
    groups.push({ runner: jest, tests, limits: limitsWithFault(run) })
  }
  return groups
}

async function tryOne(file: string, mutant: Mutant, groups: readonly TestGroup[]): Promise<TriedMutant> {
  const { line, code, from, to, nth } = mutant
  const text = applied(read(file), mutant)
  for (const { runner, tests, limits } of groups) {
    const { passed, failed } = await runner.run({ file, text, tests, limits })
    if (!passed)
      return { file, line, code, from, to, nth, outcome: failed[0] === 'time-out' ? 'time-out' : 'killed', by: failed.slice(0, 3) }
  }
  return { file, line, code, from, to, nth, outcome: 'survived', by: [] }
}

/** `count` of them in their order, the same for the same seed. */
export function sampled<T>(all: readonly T[], count: number, seed: number): T[] {
  let state = seed >>> 0
  const random = () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
    return state / 2 ** 32
  }
  const keyed = all.map((one, at) => ({ one, at, key: random() })).sort((a, b) => a.key - b.key)
  return keyed
    .slice(0, count)
    .sort((a, b) => a.at - b.at)
    .map(({ one }) => one)
}
