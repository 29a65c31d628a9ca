import { randomBytes } from 'node:crypto'
import { constants } from 'node:fs'
import fs from 'node:fs/promises'
import path from 'node:path'
import BetterSqlite from 'better-sqlite3'
import { type Kysely, sql } from 'kysely'
import { KeylimeError } from '../../core/errors.ts'
import { loadAddon } from '../native/load-addon.ts'
import { openDatabase } from './open-database.ts'
import { openToRead } from './open-to-read.ts'
import { type BeforeReplacement, type Replacement, readBefore } from './replacement.ts'
import { lockRoleFile } from './role-lock.ts'
import { VERIFIER_MIGRATIONS } from './verifier-schema.ts'

/** A file of SQLite beside another one. See `beginReplacement`. */
export async function replaceFile(file: string, schema: number, stamp: string): Promise<Replacement> {
  const { name, lock } = await lockRoleFile('verifier', file)
  const temporary = path.join(path.dirname(name), `.${path.basename(name)}.${randomBytes(6).toString('hex')}.tmp`)
  let database: Kysely<unknown> | null = null
  async function close(): Promise<void> {
    await database?.destroy()
    await removeAll(temporary)
    await lock.release()
  }
  try {
    await removeHalf(name)
    const before = await lookAt(name)
    database = await openDatabase<unknown>(temporary, 'verifier', VERIFIER_MIGRATIONS.slice(0, schema))
    return {
      before,
      database,
      async swap() {
        await database!.destroy() // its journal goes with it
        await prepare(temporary, name)
        const kept = before === null ? null : `${name}.replaced-${stamp}`
        if (kept !== null) await keep(name, kept)
        for (const end of JOURNALS) await fs.rm(`${name}${end}`, { force: true })
        await fs.rename(temporary, name)
        await sync(path.dirname(name))
        return kept
      },
      close,
    }
  } catch (error) {
    await close()
    throw error
  }
}

/** @throws KeylimeError `conflict` for a file in which there is more than a verifier's. */
async function lookAt(file: string): Promise<BeforeReplacement | null> {
  const stat = await fs.stat(file).catch(() => null)
  if (stat === null || stat.size === 0) return null
  const db = await openToRead(file, '').catch(() => null)
  if (db === null) return { mark: null, agentIds: null }
  try {
    const roles = await sql<{ name: string }>`select name from keylime_schema where name <> 'verifier'`.execute(db).catch(() => null)
    if (roles && roles.rows.length > 0)
      throw new KeylimeError('conflict', `${file} is also the database of the ${roles.rows[0]!.name}`, {
        hint: 'set another database_url in verifier.conf, and restore into that',
      })
    return await readBefore(db)
  } finally {
    await db.destroy()
  }
}

/**
 * Copies the database that was to where it is kept, with all that its journal has: a journal that stayed would be taken for that of the new one. @throws KeylimeError `conflict` when another
 * process has it open.
 */
async function keep(file: string, kept: string): Promise<void> {
  const isWhole = bringInJournal(file)
  if (isWhole && (await exists(`${file}-wal`)))
    throw new KeylimeError('conflict', `another process has ${file} open`, { hint: `"fuser ${file}" names it; nothing was changed` })
  for (const end of isWhole ? [''] : ['-wal', '']) if (await exists(`${file}${end}`)) await copy(`${file}${end}`, `${kept}${end}`)
  await sync(path.dirname(kept))
}

/** @returns false for a database that cannot be opened any more. */
function bringInJournal(file: string): boolean {
  try {
    const sqlite = new BetterSqlite(file, { nativeBinding: loadAddon<object>('better_sqlite3.node') as never, fileMustExist: true })
    try {
      sqlite.pragma('wal_checkpoint(truncate)')
      return true
    } finally {
      sqlite.close()
    }
  } catch {
    return false
  }
}

async function copy(from: string, to: string): Promise<void> {
  const half = path.join(path.dirname(to), `.${path.basename(to)}.tmp`)
  await fs.copyFile(from, half, constants.COPYFILE_FICLONE)
  await prepare(half, from)
  await fs.rename(half, to)
}

/** On the disk, for the owner of `like`, or of its directory, and for nobody else. */
async function prepare(file: string, like: string): Promise<void> {
  const { uid, gid } = await fs.stat(like).catch(() => fs.stat(path.dirname(like)))
  const handle = await fs.open(file, 'r+')
  try {
    if (process.geteuid?.() === 0) await handle.chown(uid, gid)
    await handle.chmod(0o600)
    await handle.sync()
  } finally {
    await handle.close()
  }
}

/** What a restore that was killed left: nobody else writes beside a database whose lock is held. */
async function removeHalf(file: string): Promise<void> {
  const directory = path.dirname(file)
  const isHalf = (name: string) => name.startsWith(`.${path.basename(file)}.`) && /\.tmp(-wal|-shm|-journal)?$/.test(name)
  for (const name of await fs.readdir(directory)) if (isHalf(name)) await fs.rm(path.join(directory, name), { force: true })
}

const JOURNALS = ['-wal', '-shm', '-journal'] as const

async function removeAll(file: string): Promise<void> {
  for (const end of ['', ...JOURNALS]) await fs.rm(`${file}${end}`, { force: true }).catch(() => undefined)
}

const exists = (file: string): Promise<boolean> =>
  fs.stat(file).then(
    () => true,
    () => false,
  )

async function sync(directory: string): Promise<void> {
  const handle = await fs.open(directory, 'r')
  try {
    await handle.sync()
  } finally {
    await handle.close()
  }
}
