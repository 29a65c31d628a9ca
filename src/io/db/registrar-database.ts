import type { Kysely } from 'kysely'
import { type MarkKeeper, openMark } from './database-mark.ts'
import { type DatabasePlace, openDatabase } from './open-database.ts'
import { MARKED_REGISTRAR, REGISTRAR_MIGRATIONS } from './registrar-schema.ts'
import { lockRoleFile, OWN_PLACE } from './role-lock.ts'

export interface RegistrarDatabase {
  readonly database: Kysely<unknown>
  /** Whether it is the one that was here last. */
  readonly mark: MarkKeeper
  /** Says again that a registrar runs on it, where that was cut. Never throws. */
  ensure(): Promise<void>
  close(): Promise<void>
}

/** That a registrar runs on a database. */
interface Held {
  readonly isShared: boolean
  ensure(): Promise<void>
  release(): Promise<void>
}

/**
 * Opens the registrar's database. A file of SQLite for this process alone; on a server several may share it. @param marked what the mark stands beside.
 * @throws KeylimeError `conflict` when another registrar has the file open, or the data are being moved or were; as `openDatabase`.
 */
export async function openRegistrarDatabase(place: DatabasePlace, marked: string): Promise<RegistrarDatabase> {
  const held = await hold(place)
  let opened: Kysely<unknown> | null = null
  const close = async () => {
    await opened?.destroy()
    await held.release()
  }
  try {
    let from = 0
    const database = await openDatabase<unknown>(place, 'registrar', REGISTRAR_MIGRATIONS, (change) => {
      from = change.from
    })
    opened = database
    const isMarked = from === 0 || from >= MARKED_REGISTRAR
    return { database, mark: await openMark(database, marked, { isMarked, isVouched: held.isShared }), ensure: held.ensure, close }
  } catch (error) {
    await close()
    throw error
  }
}

async function hold(place: DatabasePlace): Promise<Held> {
  if (typeof place === 'string') {
    const { lock } = await lockRoleFile('registrar', place, OWN_PLACE)
    return { isShared: false, ensure: async () => undefined, release: lock.release }
  }
  const { holdServing } = await import('./serving-lock.ts')
  return holdServing(place)
}
