import { stat } from 'node:fs/promises'
import { userInfo } from 'node:os'
import type { PostgresPool, PostgresPoolClient } from 'kysely'
import pg from 'pg'
import { nameOfServer, type PostgresServer } from '../../core/database-url.ts'
import { KeylimeError } from '../../core/errors.ts'
import { readText } from '../files/read-file.ts'
import { requireSecret } from '../files/secret-file.ts'
import { EndingClient } from './postgres-client.ts'
import { AWAY, asKeylimeError, isCut } from './postgres-errors.ts'
import { passwordFromPassfile } from './postgres-passfile.ts'
import type { PoolLoad } from './postgres-pool-load.ts'
import { postgresSockets } from './postgres-sockets.ts'

/** A server and how it is used. */
export interface PostgresPlace {
  readonly server: PostgresServer
  /** The password is read from it at each new connection; null for none. */
  readonly passwordFile: string | null
  /** Connections at once. */
  readonly poolSize: number
}

/** Milliseconds: the server ends what takes longer. Changes are short; the longest statement writes a megabyte. */
const STATEMENT_MS = 10_000
/** Behind others that change something. */
const LOCK_MS = 8000
/** Of a process that has stopped in the middle of a transaction: nobody waits for it for longer. */
const STOPPED_MS = 3000
/** Beyond what the server allows, as the way to it may be cut without a word. */
const BEYOND_MS = 2000
const ANSWER_MS = STATEMENT_MS + BEYOND_MS
/** For a change of the schema: an index of many millions of rows takes minutes; and behind another program that changes it. */
const SCHEMA_MS = 3_600_000
const SCHEMA_LOCK_MS = 60_000
/** Connections that nobody needs are closed. */
const IDLE_MS = 60_000
const KEEP_ALIVE_MS = 10_000
const GOODBYE_MS = 1000

const INT8 = 20
/** Our numbers are all below 2^53. */
const TYPES = {
  getTypeParser: (oid: number, format?: 'text' | 'binary') =>
    oid === INT8 ? Number : (pg.types.getTypeParser as (oid: number, format?: string) => unknown)(oid, format),
}

/** What bounds a connection at the server, and makes each commit durable when it returns. */
export const SESSION = `set statement_timeout = ${STATEMENT_MS}; set lock_timeout = ${LOCK_MS}; set idle_in_transaction_session_timeout = ${STOPPED_MS};
  set client_min_messages = warning; set default_transaction_isolation = 'read committed';
  select set_config('synchronous_commit', 'on', false) where current_setting('synchronous_commit') in ('off', 'local')`

/** From it on, until `SESSION`, a connection has time for a change of the schema. */
export const SCHEMA_SESSION = `set statement_timeout = ${SCHEMA_MS}; set lock_timeout = ${SCHEMA_LOCK_MS}`

export interface BoundedPool extends PostgresPool {
  load(): PoolLoad
  /** See `DatabaseSeam`. */
  leaveWithin(milliseconds: number): void
  /** It has no more connections. */
  readonly isLeft: boolean
}

/**
 * Connections to a server, bounded in number and in time: to be had, to be made, and for each answer. What passes by itself is told as `unavailable`, and a connection that was cut is
 * not used again. @param schema in which all names are looked up.
 */
export async function openPool({ server, passwordFile, poolSize }: PostgresPlace, schema: string): Promise<BoundedPool> {
  const name = nameOfServer(server)
  const sockets = postgresSockets()
  const pool = new pg.Pool({
    ...(await clientConfig({ server, passwordFile })),
    stream: sockets.stream,
    Client: EndingClient,
    max: poolSize,
    idleTimeoutMillis: IDLE_MS,
  })
  pool.on('error', () => undefined) // an idle connection was cut: the next use makes another
  const clients = new WeakMap<pg.PoolClient, PostgresPoolClient>()
  let failed = 0
  const isCutOff = () => void failed++
  return {
    options: pool.options,
    load: () => ({
      busy: pool.totalCount - pool.idleCount,
      idle: pool.idleCount,
      most: poolSize,
      waiting: pool.waitingCount,
      failed,
    }),
    get isLeft() {
      return pool.ending || sockets.isCut
    },
    leaveWithin: (milliseconds) => void setTimeout(sockets.cut, milliseconds).unref(),
    async connect() {
      if (pool.ending) throw new KeylimeError('database_failed', `the database ${name} was closed`)
      if (sockets.isCut) throw new KeylimeError('unavailable', `the database ${name} did not answer before the end`, { details: AWAY })
      const client = await pool.connect().catch((error) => {
        failed++
        throw asKeylimeError(error, name)
      })
      const known = clients.get(client)
      if (known) return known
      const bounded = boundedClient(client, name, isCutOff)
      clients.set(client, bounded)
      await begin(bounded, schema)
      return bounded
    },
    async end() {
      await pool.end()
      setTimeout(sockets.cut, GOODBYE_MS).unref() // a server that says nothing any more does not end its side, and this process would wait for it
    },
  }
}

/** One connection for itself, beside the pool. @throws Error when it cannot be had. */
export async function openClient(place: PostgresPlace): Promise<pg.Client> {
  const client = new EndingClient(await clientConfig(place))
  await client.connect()
  return client
}

async function clientConfig({ server, passwordFile }: Omit<PostgresPlace, 'poolSize'>): Promise<pg.ClientConfig> {
  const user = server.user ?? userInfo().username
  if (passwordFile !== null) await requireClosed(passwordFile)
  return {
    host: server.host,
    port: server.port,
    database: server.database,
    user,
    password: passwordOf(server, passwordFile, user) as never,
    ssl: await tlsOf(server),
    connectionTimeoutMillis: server.connectTimeoutSeconds * 1000,
    query_timeout: ANSWER_MS,
    keepAlive: true,
    keepAliveInitialDelayMillis: KEEP_ALIVE_MS,
    application_name: 'keylime',
    types: TYPES as never,
  }
}

async function begin(client: PostgresPoolClient, schema: string): Promise<void> {
  try {
    await client.query(`set search_path to ${schema}; ${SESSION}`, [])
  } catch (error) {
    client.release(true)
    throw error
  }
}

/** Takes a client as kysely does, and looks at what goes wrong. @param isCutOff told once. */
function boundedClient(client: pg.PoolClient, name: string, isCutOff: () => void): PostgresPoolClient {
  let cut = false
  let answerMs = ANSWER_MS
  const cutOff = () => {
    if (!cut) isCutOff()
    cut = true
  }
  client.on('error', cutOff)
  return {
    async query(text: string, values: readonly unknown[]) {
      if (cut) throw new KeylimeError('unavailable', `the database ${name} cannot be used now: the connection was cut`, { details: AWAY })
      if (text === SCHEMA_SESSION) answerMs = SCHEMA_MS + BEYOND_MS
      if (text === SESSION) answerMs = ANSWER_MS
      try {
        const stored = values.map(storable) as unknown[]
        if (answerMs === ANSWER_MS) return await client.query(text, stored)
        return await client.query({ text, values: stored, query_timeout: answerMs } as pg.QueryConfig)
      } catch (error) {
        if (isCut(error)) cutOff()
        throw asKeylimeError(error, name)
      }
    },
    release: (discard?: boolean) => client.release(cut || discard === true),
  } as unknown as PostgresPoolClient
}

/** PostgreSQL's texts have no zero character, SQLite's may: a text of a machine that has one must not keep its failure from being stored. */
const storable = (value: unknown): unknown => {
  if (typeof value === 'string') return value.includes('\0') ? value.replaceAll('\0', '\ufffd') : value
  return Array.isArray(value) ? value.map(storable) : value
}

/** At the start, so that the role does not wait for what does not pass by itself. What cannot be read is told with the first connection. */
async function requireClosed(passwordFile: string): Promise<void> {
  const stats = await stat(passwordFile).catch(() => null)
  if (stats) requireSecret(passwordFile, stats, 'database_password_file')
}

/** Asked at each new connection: a password that was changed needs no restart. */
function passwordOf(server: PostgresServer, file: string | null, user: string): () => Promise<string | undefined> {
  return async () => {
    if (file === null) return server.password?.reveal() ?? passwordFromPassfile(server, user, process.env)
    const text = await readText(file, { isSecret: true }).catch((cause: KeylimeError) => {
      throw new KeylimeError('unavailable', `the password of the database: ${cause.message}`, {
        cause,
        hint: cause.hint ?? 'database_password_file names a file that this user can read',
        details: AWAY,
      })
    })
    return text.replace(/\r?\n$/, '')
  }
}

async function tlsOf({ tls, host }: PostgresServer): Promise<false | object> {
  if (tls.mode === 'disable' || host.startsWith('/')) return false
  const [ca, cert, key] = await Promise.all([
    readPem(tls.rootCert, 'sslrootcert'),
    readPem(tls.cert, 'sslcert'),
    readPem(tls.key, 'sslkey', true),
  ])
  return {
    ...(ca ? { ca } : {}),
    ...(cert ? { cert } : {}),
    ...(key ? { key } : {}),
    rejectUnauthorized: tls.mode !== 'require',
    ...(tls.mode === 'verify-full' ? {} : { checkServerIdentity: () => undefined }),
  }
}

/** `system`, as libpq calls it: the authorities that this program brings. */
async function readPem(file: string | null, parameter: string, isSecret = false): Promise<string | null> {
  if (file === null || file === 'system') return null
  return readText(file, { option: `${parameter} of database_url`, code: 'config_invalid', isSecret })
}
