// A verifier that dies as by `kill -9` just before or just after its Nth write to the database; asked to stop, it says how many it has written. Run as a process of its own.
import BetterSqlite from 'better-sqlite3'
import { createLogger } from '../../src/io/log/logger.ts'
import { startVerifier } from '../../src/roles/verifier/start.ts'
import { loadVerifierSettings } from '../../src/roles/verifier/verifier-settings.ts'

const [, , dieAt = '0', moment = 'after'] = process.argv
let left = Number(dieAt)
let armed = false
let writes = 0
const WRITES = /^\s*(?:commit|insert|update|delete)\b/i
const die = () => process.kill(process.pid, 'SIGKILL')

type Statement = { run: (...a: unknown[]) => unknown; all: (...a: unknown[]) => unknown }
const prepare = BetterSqlite.prototype.prepare as (sql: string) => Statement
BetterSqlite.prototype.prepare = function (this: BetterSqlite.Database, sql: string) {
  const statement = prepare.call(this, sql)
  if (!WRITES.test(sql)) return statement
  for (const name of ['run', 'all'] as const) {
    const real = statement[name].bind(statement)
    statement[name] = (...given: unknown[]) => {
      if (armed) writes++
      const isLast = armed && --left === 0
      if (isLast && moment === 'before') die()
      const result = real(...given)
      if (isLast) die()
      return result
    }
  }
  return statement
} as never

const verifier = await startVerifier(loadVerifierSettings(process.env), createLogger({ name: 'verifier', level: 'error' }))
armed = true
process.on('message', async () => {
  await verifier.stop()
  process.send?.({ writes }, () => process.exit(0))
})
process.send?.({ port: verifier.port })
