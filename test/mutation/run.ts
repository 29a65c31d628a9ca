// `npm run mutate`: puts small faults into the sources, one at a time, and looks whether a test notices. CONTRIBUTING.md says what to do with those that none does.
//   --room NAME,…    only these rooms
//   --changed REV    only sources that differ from this revision
//   --sample N       so many mutants of a room, 60 when nothing is said
//   --all            all mutants
//   --seed S         another sample
//   --removals TEXT  takes away the safeguards of `removals.ts` whose line has this text, in place of mutants; `.` for all
//   --json FILE      where the result goes, dist/mutation.json when nothing is said
import { execFileSync } from 'node:child_process'
import fs from 'node:fs'
import path from 'node:path'
import { parseArgs } from 'node:util'
import { RelatedTests } from './related-tests.ts'
import { REMOVALS, type Removal } from './removals.ts'
import { ROOMS } from './rooms.ts'
import { survivorOf } from './survivors.ts'
import { jestRunner, quickRunner } from './test-runners.ts'
import { longest, type RoomResult, type TriedMutant, tryRoom } from './try-mutants.ts'

const CHECKOUT = path.resolve(import.meta.dirname, '../..')
const GOAL_PERCENT = 90
const REMOVAL_SECONDS = 300

const { values } = parseArgs({
  options: {
    room: { type: 'string' },
    changed: { type: 'string' },
    sample: { type: 'string', default: '60' },
    all: { type: 'boolean', default: false },
    seed: { type: 'string', default: '1' },
    removals: { type: 'string' },
    json: { type: 'string', default: path.join(CHECKOUT, 'dist/mutation.json') },
  },
})
for (const name of ['SIGINT', 'SIGTERM'] as const) process.once(name, () => process.exit(130)) // the copy goes, the tests end

const rooms = values.room?.split(',') ?? Object.keys(ROOMS)
const unknown = rooms.filter((name) => !ROOMS[name])
if (unknown.length > 0) fail(`no room ${unknown.join(', ')}; there are ${Object.keys(ROOMS).join(', ')}`)
const changed = values.changed === undefined ? null : new Set(git('diff', '--name-only', values.changed).split('\n'))
const [quick, jest] = [quickRunner(), jestRunner()]
const noticed = values.removals === undefined ? await tryRooms() : await tryRemovals(values.removals)
quick.stop()
jest.stop()
process.exitCode = noticed ? 0 : 1

async function tryRooms(): Promise<boolean> {
  const results: RoomResult[] = []
  const trial = {
    quick,
    jest,
    related: new RelatedTests(),
    sample: values.all ? undefined : Number(values.sample),
    seed: Number(values.seed),
    isChosen: (file: string) => !changed || changed.has(file),
    tell,
  }
  for (const name of rooms) {
    results.push(await tryRoom(name, ROOMS[name]!, trial))
    fs.writeFileSync(values.json, `${JSON.stringify(results, null, 1)}\n`)
  }
  const found = results.filter(({ tried }) => tried.length > 0)
  console.log(table(found))
  return found.every((result) => percent(result) >= GOAL_PERCENT)
}

function tell(mutant: TriedMutant): void {
  const { file, line, outcome, from, to, code, nth } = mutant
  if (outcome !== 'survived') return
  const known = survivorOf(file, mutant)
  console.log(
    `${file}:${line}  ${short(from)} → ${short(to)}${nth > 0 ? ` (nth ${nth})` : ''}   in: ${code}${known ? `   (${known.reason})` : ''}`,
  )
}

function short(text: string): string {
  return (text.length > 50 ? `${text.slice(0, 50)}…` : text).replace(/\s+/g, ' ')
}

function survivors({ tried }: RoomResult): number {
  return tried.filter(({ outcome }) => outcome === 'survived').length
}

function percent(result: RoomResult): number {
  return (100 * (result.tried.length - survivors(result))) / result.tried.length
}

function table(results: readonly RoomResult[]): string {
  const rows = results.map((result) => [
    result.room,
    String(result.mutants),
    String(result.equivalent),
    String(result.tried.length),
    String(survivors(result)),
    `${percent(result).toFixed(1)} %`,
  ])
  return [['room', 'mutants', 'equivalent', 'tried', 'survived', 'killed'], ...rows]
    .map(([room, ...cells]) => [room!.padEnd(12), ...cells.map((cell) => cell.padStart(11))].join(''))
    .join('\n')
}

async function tryRemovals(pattern: string): Promise<boolean> {
  const chosen = REMOVALS.filter((removal) => Object.values(removal).some((text) => text.includes(pattern)))
  let survived = 0
  const sound = new Set<string>()
  for (const removal of chosen) {
    if (!sound.has(removal.test)) await demandSound(removal)
    sound.add(removal.test)
    const { passed, failed } = await withoutSafeguard(removal)
    if (passed) survived++
    console.log(`${passed ? 'NOT NOTICED' : 'noticed    '} ${removal.item}: ${passed ? removal.test : failed[0]}`)
  }
  console.log(`${chosen.length} safeguards, ${survived} could be taken away without any test failing`)
  return survived === 0
}

/** A test that fails with the safeguard in its place notices nothing. */
async function demandSound(removal: Removal): Promise<void> {
  const { passed, failed } = await withoutSafeguard({ ...removal, to: removal.from })
  if (!passed) fail(`${removal.test} fails with nothing taken away: ${failed[0]}`)
}

function withoutSafeguard({ file, from, to, test }: Removal) {
  const text = fs.readFileSync(path.join(CHECKOUT, file), 'utf8').replace(from, () => to)
  return jest.run({ file, text, tests: [`test/${test}.test.ts`], limits: longest(REMOVAL_SECONDS) })
}

function git(...args: string[]): string {
  return execFileSync('git', args, { cwd: CHECKOUT, encoding: 'utf8' })
}

function fail(message: string): never {
  console.error(`error: ${message}`)
  process.exit(2)
}
