// Preloaded (`node --import`) into a role that runs from its sources: numbers all that the process commits to, in the order in which it does so, and ends it
// there as `kill -9` does. A commit point is a change of a file or a directory, a write to the database, a program that is started, a request to another role.
// Nothing of it is in the product: the seams are those of Node, SQLite and the HTTP client.
import childProcess from 'node:child_process'
import diagnostics from 'node:diagnostics_channel'
import fs from 'node:fs'
import { syncBuiltinESMExports } from 'node:module'
import os from 'node:os'
import path from 'node:path'
import BetterSqlite from 'better-sqlite3'

type Moment = 'before' | 'half' | 'after'
// biome-ignore lint/suspicious/noExplicitAny: functions of any shape are wrapped
type Any = (...given: any[]) => any

/** `count:FILE`: only writes down what there is. `before:7`, `half:7`, `after:7`: dies there. */
const [moment = 'count', argument = ''] = (process.env['KEYLIME_FAILPOINT'] ?? '').split(':') as [Moment | 'count', string]
const last = moment === 'count' ? 0 : Number(argument)
const writeSync = fs.writeSync
const list = moment === 'count' ? fs.openSync(argument, 'a') : -1
let count = 0
/** Node's own functions use one another: what is inside of a point is none. */
let inside = false

const die = () => process.kill(process.pid, 'SIGKILL')

/** @returns which moment of this point is the last of the process; `no` when it is another one. */
function reach(name: string): Moment | 'no' {
  count++
  if (moment === 'count') writeSync(list, `${name}\n`)
  return count === last ? (moment as Moment) : 'no'
}

/** @param writeHalf for what carries data: as a kill in the middle of a write leaves it. */
function point(name: string, run: () => unknown, writeHalf?: () => unknown): unknown {
  if (inside) return run()
  const end = reach(writeHalf ? `${name} (data)` : name)
  if (end === 'before') die()
  inside = true
  try {
    if (end === 'half') return after(writeHalf?.(), die)
    const result = run()
    return end === 'after' ? after(result, die) : result
  } finally {
    inside = false
  }
}

function after(result: unknown, then: () => void): unknown {
  if (result instanceof Promise) return result.finally(then)
  then()
  return result
}

const half = (data: unknown): Uint8Array => {
  const bytes =
    typeof data === 'string'
      ? Buffer.from(data)
      : ArrayBuffer.isView(data)
        ? Buffer.from(data.buffer, data.byteOffset, data.byteLength)
        : Buffer.from([...(data as Iterable<string>)].join(''))
  return bytes.subarray(0, Math.ceil(bytes.length / 2))
}

function wrap(owner: object, name: string, how: (real: Any, given: unknown[], self: unknown) => unknown): void {
  const functions = owner as Record<string, Any>
  const real = functions[name]
  if (!real) return
  functions[name] = function (this: unknown, ...given: unknown[]) {
    return how(real.bind(this), given, this)
  }
}

const named = (what: string, file: unknown) =>
  `${what} ${typeof file === 'string' ? path.basename(file).replace(/[0-9a-f]{12}/, 'RANDOM') : ''}`.trim()

/** Changes that are one step of the file system. */
for (const name of ['rename', 'rm', 'rmdir', 'unlink', 'mkdir', 'mkdtemp', 'link', 'symlink', 'truncate', 'copyFile'])
  for (const [owner, method] of [
    [fs, `${name}Sync`],
    [fs.promises, name],
  ] as const)
    wrap(owner, method, (real, given) => point(named(name, given[0]), () => real(...given)))

/** Those that carry data; a terminal is no state. */
for (const [owner, method] of [
  [fs, 'writeFileSync'],
  [fs.promises, 'writeFile'],
  [fs.promises, 'appendFile'],
] as const)
  wrap(owner, method, (real, given) => {
    const [file, data, ...rest] = given
    return point(
      named('write', file),
      () => real(...given),
      () => real(file, half(data), ...rest),
    )
  })

const isMade = (flags: unknown) => typeof flags === 'string' && /[wa]/.test(flags)
for (const [owner, method] of [
  [fs, 'openSync'],
  [fs.promises, 'open'],
] as const)
  wrap(owner, method, (real, given) =>
    isMade(given[1]) && !`${given[0]}`.endsWith('.lock') ? point(named('open', given[0]), () => real(...given)) : real(...given),
  )

const probe = await fs.promises.open(os.devNull, 'r')
const handles = Object.getPrototypeOf(probe) as object
await probe.close()
for (const method of ['write', 'writeFile', 'appendFile'])
  wrap(handles, method, (real, [data, ...rest]) =>
    point(
      'write (handle)',
      () => real(data, ...rest),
      () => real(half(data), ...rest),
    ),
  )
wrap(fs, 'writeSync', (real, given) => (Number(given[0]) <= 2 ? real(...given) : point('write (descriptor)', () => real(...given))))

for (const method of ['spawn', 'execFile', 'fork'])
  wrap(childProcess, method, (real, given) => point(named('start', given[0]), () => real(...given)))
syncBuiltinESMExports()

const WRITES = /^\s*(?:commit|insert|update|delete|create|alter|drop)\b/i
type Statement = Record<'run' | 'all', Any>
wrap(BetterSqlite.prototype, 'prepare', (real, [sql]) => {
  const statement = real(sql) as Statement
  if (!WRITES.test(sql as string)) return statement
  for (const method of ['run', 'all'] as const)
    wrap(statement, method, (execute, given) => point(`database: ${(sql as string).trim().slice(0, 40)}`, () => execute(...given)))
  return statement
})

/** A request that is about to be sent, and one that was answered and whose answer was not looked at. */
diagnostics.subscribe('undici:client:sendHeaders', (message) => {
  const { request } = message as { request: { method: string; path: string } }
  point(`request ${request.method} ${request.path.replace(/\?.*/, '').replace(/[0-9a-f-]{32,}/, 'ID')}`, () => undefined)
})
diagnostics.subscribe('undici:request:headers', (message) => {
  const { request } = message as { request: { method: string } }
  point(`answer to ${request.method}`, () => undefined)
})
