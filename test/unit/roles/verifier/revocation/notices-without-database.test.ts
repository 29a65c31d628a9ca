import { sql } from 'kysely'
import { type Answer, noticeBeds } from '../../../../notice-bed.ts'

const open = noticeBeds()

async function bed(machines: readonly string[], answer: Answer) {
  const made = await open(machines, answer)
  const away = () => sql`alter table deliveries rename to away`.execute(made.db)
  const back = () => sql`alter table away rename to deliveries`.execute(made.db)
  return { ...made, away, back }
}

test('what an earlier run left undone is told when the database is back, and not after the next start', async () => {
  const { away, back, notifier, stores, time, told } = await bed(['one'], async () => 'acted')
  await stores()
  await away()
  const resumed = notifier.resume()
  await time.pass(10_000)
  await back()
  await time.pass(10_000)
  await resumed
  expect(told.map(({ id }) => id).toSorted()).toEqual(['one', 'webhook'])
})

test('machines that are off keep no others waiting, also where the database was away when that was to be stored', async () => {
  const { away, back, db, fail, time } = await bed(['off', 'good'], async ({ id }) => {
    if (id !== 'good') throw new Error('EHOSTUNREACH')
    return 'acted'
  })
  for (let i = 0; i < 20; i++) await fail()
  await time.pass(90)
  await away()
  await time.pass(2000)
  await back()
  await time.pass(60_000)
  const { rows } = await sql`select 1 from deliveries where state = 'pending' and attempts = 0 and target = 'agent:off'`.execute(db)
  expect(rows).toEqual([])
})

test('a server that took over without the last commits gives the number of a notice again: who was told of that one has not been told of this', async () => {
  let isOff = true
  const { db, fail, time, told } = await bed(['one'], async () => {
    if (isOff) throw new Error('EHOSTUNREACH')
    return 'acted'
  })
  const lost = await fail()
  await time.pass(2000)
  await sql`delete from revocations`.execute(db)
  await sql`delete from deliveries`.execute(db)
  await sql`delete from sqlite_sequence`.execute(db)
  const { id, text } = await fail()
  expect(id).toBe(lost.id)
  isOff = false
  await time.pass(60_000)
  expect(told.filter((one) => one.id === 'one').map((one) => one.text)).toContain(text)
  const { rows } = await sql`select state from deliveries where target = 'agent:one'`.execute(db)
  expect(rows).toEqual([{ state: 'acted' }])
})
