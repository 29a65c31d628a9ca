import { setImmediate as turn } from 'node:timers/promises'
import { type Kysely, sql } from 'kysely'
import { builtOnce } from './built-once.ts'
import { changing } from './seam.ts'

/** Changes in one commit: more would keep those who only read waiting. */
const MAX_GROUP = 64

interface Waiting<Tables> {
  work(transaction: Kysely<Tables>): Promise<unknown>
  resolve(result: unknown): void
  reject(error: unknown): void
}

/**
 * Changes that come in the same turn of the event loop are made one after the other in one transaction, and are durable by one commit: a disk takes some hundred commits a second, whatever is in them. Each is
 * alone, and one that fails takes back what it did and nothing else. @param after runs behind each commit, before its changes are told.
 */
export function groupedChanges<Tables>(
  db: Kysely<Tables>,
  after: () => Promise<unknown>,
): <T>(work: (transaction: Kysely<Tables>) => Promise<T>) => Promise<T> {
  const waiting: Waiting<Tables>[] = []
  let isRunning = false

  async function run(): Promise<void> {
    await turn() // what this turn brings goes into one commit
    while (waiting.length > 0) {
      const group = waiting.splice(0, MAX_GROUP)
      const ends: (() => void)[] = []
      try {
        await changing(db, async (transaction) => {
          ends.length = 0 // a server may undo it all because of another process, and it is made again
          for (const each of group) ends.push(await makeOne(transaction, each))
        })
        await after().catch(() => undefined)
        for (const end of ends) end()
      } catch (error) {
        for (const { reject } of group) reject(error) // nothing of it is stored
      }
    }
    isRunning = false
  }

  return <T>(work: (transaction: Kysely<Tables>) => Promise<T>) =>
    new Promise<T>((resolve, reject) => {
      waiting.push({ work, resolve: resolve as (result: unknown) => void, reject })
      if (isRunning) return
      isRunning = true
      void run()
    })
}

/** @returns what is told when all of it is durable. @throws when the transaction is lost: then nothing more can be made in it. */
async function makeOne<Tables>(transaction: Kysely<Tables>, { work, resolve, reject }: Waiting<Tables>): Promise<() => void> {
  const db = transaction as Kysely<unknown>
  await begin(db)
  try {
    const result = await work(transaction)
    await keep(db)
    return () => resolve(result)
  } catch (error) {
    await takeBack(db)
    await keep(db)
    return () => reject(error)
  }
}

const statement = (text: string) => builtOnce((db: Kysely<unknown>) => ({ compile: () => sql.raw(text).compile(db) }))
const begin = statement('savepoint one')
const keep = statement('release one')
const takeBack = statement('rollback to one')
