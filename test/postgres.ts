import { type ChildProcess, execFile, spawn } from 'node:child_process'
import {
  chmodSync,
  cpSync,
  existsSync,
  lchownSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import net from 'node:net'
import os from 'node:os'
import path from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { promisify } from 'node:util'
import pg from 'pg'
import { databasePlace } from '../src/io/db/open-database.ts'
import type { PostgresPlace } from '../src/io/db/postgres-pool.ts'

const run = promisify(execFile)

/** A real server of Debian's package, in a directory of its own. */
export interface TestPostgres {
  readonly port: number
  readonly directory: string
  /** Of the first of its processes. */
  pid(): number
  /** Of its one database; any user is let in. @param query parameters behind it. */
  url(query?: string): string
  place(query?: string): PostgresPlace
  /** What anybody may ask it. */
  query<Row>(text: string): Promise<Row[]>
  start(): Promise<void>
  /** `fast` ends what is under way, `immediate` is a crash. */
  stop(how?: 'fast' | 'immediate'): Promise<void>
  /** Stops it and removes its directory. */
  remove(): Promise<void>
}

export interface PostgresSettings {
  /** Lines of postgresql.conf. */
  settings?: readonly string[]
  /** Lines of pg_hba.conf instead of those that let everybody in. */
  accounts?: readonly string[]
  /** Beside its data: keys and certificates. */
  files?: Readonly<Record<string, string>>
}

export async function startPostgres(given: PostgresSettings = {}): Promise<TestPostgres> {
  const owner = await unprivileged()
  const directory = mkdtempSync(path.join(os.tmpdir(), 'keylime-postgres-'))
  const data = path.join(directory, 'data')
  cpSync(await emptyCluster(owner), data, { recursive: true })
  const port = await freePort()
  const settings = [...SETTINGS, `port = ${port}`, `unix_socket_directories = '${directory}'`, ...(given.settings ?? [])]
  writeFileSync(path.join(data, 'postgresql.auto.conf'), `${settings.join('\n')}\n`)
  if (given.accounts) writeFileSync(path.join(data, 'pg_hba.conf'), `${given.accounts.join('\n')}\n`)
  for (const [name, text] of Object.entries(given.files ?? {})) writeFileSync(path.join(data, name), text, { mode: 0o600 })
  chmodSync(data, 0o700)
  chownAll(directory, owner)
  let server: ChildProcess | null = null

  async function start(): Promise<void> {
    let log = ''
    const child = spawn(path.join(programs(), 'postgres'), ['-D', data], { ...owner, stdio: ['ignore', 'ignore', 'pipe'], cwd: directory })
    child.stderr!.on('data', (text) => (log = (log + text).slice(-4000)))
    server = child
    for (let tries = 0; !(await answers(port)); tries++) {
      if (child.exitCode !== null || tries > 600) throw new Error(`postgres does not start: ${log}`)
      await sleep(20)
    }
  }

  async function stop(how: 'fast' | 'immediate' = 'fast'): Promise<void> {
    const child = server
    server = null
    if (!child || child.exitCode !== null) return
    const ended = new Promise((resolve) => child.once('exit', resolve))
    child.kill(how === 'fast' ? 'SIGINT' : 'SIGQUIT')
    await ended
  }

  const url = (query = '') => `postgresql://keylime@127.0.0.1:${port}/keylime${query}`
  await start()
  return {
    port,
    directory,
    pid: () => server!.pid!,
    url,
    place: (query) =>
      databasePlace({ database_url: url(query), database_password_file: '', database_pool_sz_ovfl: '5,10' }, '/unused') as PostgresPlace,
    async query(text) {
      const client = new pg.Client({ connectionString: url() })
      await client.connect()
      try {
        return (await client.query(text)).rows
      } finally {
        await client.end()
      }
    },
    start,
    stop,
    async remove() {
      await stop()
      rmSync(directory, { recursive: true, force: true })
    },
  }
}

/** A server of a test survives no power cut, and need not. */
const SETTINGS = [
  'fsync = off',
  'shared_buffers = 16MB',
  'max_connections = 60',
  "listen_addresses = '127.0.0.1'",
  'autovacuum = off',
  "log_min_messages = 'fatal'",
]

interface Owner {
  uid?: number
  gid?: number
}

/** PostgreSQL refuses to run as root. */
async function unprivileged(): Promise<Owner> {
  if (process.getuid!() !== 0) return {}
  const [, , uid, gid] =
    readFileSync('/etc/passwd', 'utf8')
      .match(/^postgres:.*$/m)?.[0]
      .split(':') ?? []
  if (uid === undefined) throw new Error('there is no user postgres: run bin/setup tests')
  return { uid: Number(uid), gid: Number(gid) }
}

function programs(): string {
  const root = '/usr/lib/postgresql'
  const [newest] = existsSync(root) ? readdirSync(root).toSorted((a, b) => Number(b) - Number(a)) : []
  if (newest === undefined) throw new Error('PostgreSQL is not installed: run bin/setup tests')
  return path.join(root, newest, 'bin')
}

/** Made once a checkout: to make one takes a second, to copy it a moment. */
async function emptyCluster(owner: Owner): Promise<string> {
  const kept = path.resolve(import.meta.dirname, '../node_modules/.cache/postgres', path.basename(path.dirname(programs())))
  if (existsSync(kept)) return kept
  const making = mkdtempSync(path.join(os.tmpdir(), 'keylime-initdb-'))
  chownAll(making, owner)
  const data = path.join(making, 'data')
  const options = ['--no-sync', '--no-instructions', '--auth=trust', '--username=keylime', '--locale=C', '--encoding=UTF8']
  await run(path.join(programs(), 'initdb'), [...options, '-D', data], { ...owner, cwd: making })
  const boot = spawn(path.join(programs(), 'postgres'), ['--single', '-D', data, 'postgres'], {
    ...owner,
    cwd: making,
    stdio: ['pipe', 'ignore', 'ignore'],
  })
  boot.stdin!.end('create database keylime;\n')
  await new Promise((resolve) => boot.once('exit', resolve))
  mkdirSync(path.dirname(kept), { recursive: true })
  const fresh = `${kept}.${process.pid}`
  cpSync(data, fresh, { recursive: true })
  rmSync(making, { recursive: true })
  try {
    renameSync(fresh, kept)
  } catch {
    rmSync(fresh, { recursive: true }) // another test made it meanwhile
  }
  return kept
}

function chownAll(directory: string, { uid, gid }: Owner): void {
  if (uid === undefined || gid === undefined) return
  lchownSync(directory, uid, gid)
  for (const entry of readdirSync(directory, { recursive: true })) lchownSync(path.join(directory, String(entry)), uid, gid)
}

async function freePort(): Promise<number> {
  const server = net.createServer().listen(0, '127.0.0.1')
  await new Promise((resolve) => server.once('listening', resolve))
  const { port } = server.address() as net.AddressInfo
  await new Promise((resolve) => server.close(resolve))
  return port
}

/** Whether it takes a session: while it starts it refuses. */
async function answers(port: number): Promise<boolean> {
  const startup = Buffer.from('\0\0\0\0\0\x03\0\0user\0keylime\0database\0keylime\0\0', 'latin1')
  startup.writeInt32BE(startup.length)
  return new Promise((resolve) => {
    const socket = net.connect(port, '127.0.0.1', () => socket.write(startup))
    const end = (is: boolean) => {
      socket.destroy()
      resolve(is)
    }
    socket.once('data', (bytes) => end(bytes[0] === 0x52))
    socket.once('error', () => end(false))
    socket.once('close', () => end(false))
  })
}
