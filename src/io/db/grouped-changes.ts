import { setImmediate as turn } from 'node:timers/promises'
import { type Kysely, sql } from 'kysely'
import { builtOnce } from './built-once.ts'
import { changing, seamOf } from './seam.ts'

/** Changes in one commit: more would keep those who only read waiting. */
const MAX_GROUP = 64

/** Changes of one kind, which cost less if several of them are made at once. */
export interface Together<Tables, Item, T> {
  /** One alone. */
  one(transaction: Kysely<Tables>, item: Item): Promise<T>
  /** Several, as if one came after the other. @returns for each of them its result, or the error that `one` would throw; when it throws itself, each is made alone. */
  several(transaction: Kysely<Tables>, items: readonly Item[]): Promise<readonly (T | Error)[]>
}

/** Changes in groups, each group one commit. */
export interface GroupedChanges<Tables> {
  /** @param about the machines that it changes or looks at; null where that may be any. */
  <T>(work: (transaction: Kysely<Tables>) => Promise<T>, about?: readonly string[] | null): Promise<T>
  /** A change of the machine `about` alone, made at once with the others of its group and kind. */
  together<Item, T>(kind: Together<Tables, Item, T>, item: Item, about: string): Promise<T>
}

interface Waiting<Tables> {
  work(transaction: Kysely<Tables>): Promise<unknown>
  /** Null: any. */
  about: readonly string[] | null
  /** Null where it is always made alone. */
  kind: Together<Tables, unknown, unknown> | null
  item: unknown
  resolve(result: unknown): void
  reject(error: unknown): void
}

type End = () => void

/**
 * Changes that come in the same turn of the event loop are made one after the other in one transaction, and are durable by one commit: a disk takes some hundred commits a second, whatever is in them. Each is
 * alone, and one that fails takes back what it did and nothing else. Those of one kind are made at once, before the others; those of one machine stay in the order in which they came.
 * @param after runs behind each commit, before its changes are told; not behind one of changes of a kind alone.
 */
export function groupedChanges<Tables>(db: Kysely<Tables>, after: () => Promise<unknown>): GroupedChanges<Tables> {
  const waiting: Waiting<Tables>[] = []
  let isRunning = false

  async function run(): Promise<void> {
    await turn() // what this turn brings goes into one commit
    while (waiting.length > 0) {
      const group = waiting.splice(0, MAX_GROUP)
      let ends: End[] = []
      try {
        await changing(db, async (transaction) => {
          ends = await makeGroup(transaction, group) // a server may undo it all because of another process, and it is made again
        })
        if (group.some(({ kind }) => kind === null)) await after().catch(() => undefined)
        for (const end of ends) end()
      } catch (error) {
        // Nothing of it is stored.
        if (error instanceof NotTogether) waiting.unshift(...group.map((each) => ({ ...each, kind: null })))
        else for (const { reject } of group) reject(error)
      }
    }
    isRunning = false
  }

  function wait<T>(given: Omit<Waiting<Tables>, 'resolve' | 'reject'>): Promise<T> {
    return new Promise<T>((resolve, reject) => {
      waiting.push({ ...given, resolve: resolve as (result: unknown) => void, reject })
      if (isRunning) return
      isRunning = true
      void run()
    })
  }

  const change = <T>(work: (transaction: Kysely<Tables>) => Promise<T>, about: readonly string[] | null = null) =>
    wait<T>({ work, about, kind: null, item: null })
  return Object.assign(change, {
    together: <Item, T>(kind: Together<Tables, Item, T>, item: Item, about: string) =>
      wait<T>({ work: (transaction) => kind.one(transaction, item), about: [about], kind: kind as Together<Tables, unknown, T>, item }),
  })
}

/** The same within a transaction, whose changes are part of it. */
export const changesWithin = <Tables>(transaction: Kysely<Tables>): GroupedChanges<Tables> =>
  Object.assign(<T>(work: (transaction: Kysely<Tables>) => Promise<T>) => work(transaction), {
    together: <Item, T>(kind: Together<Tables, Item, T>, item: Item) => kind.one(transaction, item),
  })

async function makeGroup<Tables>(transaction: Kysely<Tables>, group: readonly Waiting<Tables>[]): Promise<End[]> {
  const steps = stepsOf(group, seamOf(transaction).few)
  const [first] = steps
  if (steps.length > 1) {
    const ends: End[] = []
    for (const step of steps) ends.push(...(await makeStep(transaction, step)))
    return ends
  }
  if (first!.length > 1)
    return makeTogether(transaction, first!).catch((cause) => {
      throw new NotTogether('', { cause })
    })
  const { work, resolve } = first![0]!
  const result = await work(transaction) // the transaction is taken back with it
  return [() => resolve(result)]
}

/** The changes of a transaction failed as a whole, which was taken back: each is to be made alone. */
class NotTogether extends Error {}

/** Those that are made at once are before the others, if nothing that came earlier concerns their machines. */
function stepsOf<Tables>(group: readonly Waiting<Tables>[], few: number): Waiting<Tables>[][] {
  const together = new Map<unknown, Waiting<Tables>[]>()
  const alone: Waiting<Tables>[] = []
  const lastOf = new Map<string, Waiting<Tables>['kind']>()
  let isAny = false
  for (const each of group) {
    const about = each.about ?? []
    const kind = isAny || about.some((machine) => lastOf.has(machine) && lastOf.get(machine) !== each.kind) ? null : each.kind
    for (const machine of about) lastOf.set(machine, kind)
    if (each.about === null) isAny = true
    const step = together.get(kind)
    if (kind === null) alone.push(each)
    else if (step) step.push(each)
    else together.set(kind, [each])
  }
  const each = (changes: Waiting<Tables>[]) => changes.map((change) => [change])
  return [...[...together.values()].flatMap((step) => (step.length > few ? [step] : each(step))), ...each(alone)]
}

/** @returns what is told when all of it is durable. @throws when the transaction is lost: then nothing more can be made in it. */
async function makeStep<Tables>(transaction: Kysely<Tables>, step: readonly Waiting<Tables>[]): Promise<End[]> {
  if (step.length > 1) {
    const made = await revocable(transaction, () => makeTogether(transaction, step))
    if ('result' in made) return made.result
  }
  const ends: End[] = []
  for (const each of step) ends.push(await makeOne(transaction, each)) // one that is bad harms no other
  return ends
}

async function makeTogether<Tables>(transaction: Kysely<Tables>, step: readonly Waiting<Tables>[]): Promise<End[]> {
  const items = step.map(({ item }) => item)
  const results = await step[0]!.kind!.several(transaction, items)
  return step.map(({ resolve, reject }, i) => {
    const result = results[i]
    return result instanceof Error ? () => reject(result) : () => resolve(result)
  })
}

async function makeOne<Tables>(transaction: Kysely<Tables>, { work, resolve, reject }: Waiting<Tables>): Promise<End> {
  const made = await revocable(transaction, () => work(transaction))
  return 'error' in made ? () => reject(made.error) : () => resolve(made.result)
}

/** What fails is taken back, and nothing else of the transaction. */
async function revocable<Tables, T>(transaction: Kysely<Tables>, work: () => Promise<T>): Promise<{ result: T } | { error: unknown }> {
  const db = transaction as Kysely<unknown>
  await begin(db)
  try {
    const result = await work()
    await keep(db)
    return { result }
  } catch (error) {
    await takeBack(db)
    await keep(db)
    return { error }
  }
}

const statement = (text: string) => builtOnce((db: Kysely<unknown>) => ({ compile: () => sql.raw(text).compile(db) }))
const begin = statement('savepoint one')
const keep = statement('release one')
const takeBack = statement('rollback to one')
