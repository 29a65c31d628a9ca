import { applied, type Mutant, mutantsOf } from './mutants.ts'
import type { RelatedTests } from './related-tests.ts'
import { type Room, sourcesOf } from './rooms.ts'
import type { SourceTree } from './source-tree.ts'
import { survivorOf } from './survivors.ts'
import type { TestRunner } from './test-runner.ts'

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
  readonly tree: SourceTree
  readonly runner: TestRunner
  readonly related: RelatedTests
  /** Mutants of a room at most; undefined tries all. */
  readonly sample: number | undefined
  readonly seed: number
  /** Only these sources. */
  isChosen(file: string): boolean
  tell(mutant: TriedMutant): void
}

const LONGEST_SECONDS = 300
const SLACK_SECONDS = 10

export async function tryRoom(name: string, room: Room, trial: Trial): Promise<RoomResult> {
  const all = sourcesOf(room)
    .filter((file) => trial.isChosen(file))
    .flatMap((file) => mutantsOf(trial.tree.read(file)).map((mutant) => ({ file, mutant })))
  const counted = all.filter(({ file, mutant }) => !survivorOf(file, mutant)?.equivalent)
  const chosen = sampled(counted, trial.sample ?? counted.length, trial.seed)
  const tried: TriedMutant[] = []
  const groups = new Map<string, TestGroup[]>()
  for (const { file, mutant } of chosen) {
    if (!groups.has(file)) groups.set(file, await groupsOf(file, room, trial))
    const one = await tryOne(file, mutant, groups.get(file)!, trial)
    trial.tell(one)
    tried.push(one)
  }
  return { room: name, mutants: counted.length, equivalent: all.length - counted.length, tried }
}

interface TestGroup {
  readonly tests: readonly string[]
  readonly seconds: number
}

/** The tests of a source, with what they may take: they are run once without any fault, and must pass. */
async function groupsOf(file: string, room: Room, { related, runner }: Trial): Promise<TestGroup[]> {
  const groups: TestGroup[] = []
  for (const tests of [...related.of(file), room.integration.map((name) => `test/${name}.test.ts`)].filter(({ length }) => length > 0)) {
    const start = performance.now()
    const { passed, failed } = await runner.run(tests, LONGEST_SECONDS)
    if (!passed) throw new Error(`without any fault, tests of ${file} fail: ${failed.slice(0, 3).join('; ')}`)
    groups.push({ tests, seconds: SLACK_SECONDS + (3 * (performance.now() - start)) / 1000 })
  }
  return groups
}

async function tryOne(file: string, mutant: Mutant, groups: readonly TestGroup[], { tree, runner }: Trial): Promise<TriedMutant> {
  const { line, code, from, to, nth } = mutant
  for (const { tests, seconds } of groups) {
    const { passed, failed } = await tree.with(file, applied(tree.read(file), mutant), () => runner.run(tests, seconds))
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
