import BetterSqlite from 'better-sqlite3'
import { withPreparedStatements } from '../../../../src/io/db/prepared-statements.ts'
import { loadAddon } from '../../../../src/io/native/load-addon.ts'

const open = () => new BetterSqlite(':memory:', { nativeBinding: loadAddon<object>('better_sqlite3.node') as never })

test('a statement is compiled once, and goes on after the schema was changed', () => {
  const sqlite = open()
  const database = withPreparedStatements(sqlite)
  database.prepare('create table t(a integer)').run([])
  database.prepare('insert into t values (?)').run([1])
  const select = database.prepare('select * from t')
  expect(select.all([])).toEqual([{ a: 1 }])
  database.prepare("alter table t add column b text default 'new'").run([])
  expect(database.prepare('select * from t')).toBe(select)
  expect(select.all([])).toEqual([{ a: 1, b: 'new' }])
  database.close()
  expect(sqlite.open).toBe(false)
})

test('texts without end do not fill the memory: those before are forgotten', () => {
  const database = withPreparedStatements(open())
  const first = database.prepare('select 0')
  for (let i = 1; i <= 500; i++) database.prepare(`select ${i}`)
  expect(database.prepare('select 0')).not.toBe(first)
  expect(database.prepare('select 0').all([])).toEqual([{ 0: 0 }])
  database.close()
})
