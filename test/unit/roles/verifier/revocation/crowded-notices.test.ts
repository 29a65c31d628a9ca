import { sql } from 'kysely'
import { noticeBeds } from '../../../../notice-bed.ts'

const HANGS = new Promise<never>(() => undefined)
const bed = noticeBeds()
const named = (name: string, count: number) => Array.from({ length: count }, (_, i) => `${name}${i}`)

test('one notice is on its way to each machine: those that hang hold up nobody, and nothing grows with what they are to be told', async () => {
  const { counts, fail, time, told } = await bed([...named('hangs', 50), ...named('good', 5)], ({ id }) =>
    id.startsWith('hangs') ? HANGS : Promise.resolve('acted'),
  )
  for (let i = 0; i < 100; i++) await fail()
  await time.pass(30_000)
  expect(counts.most).toBeLessThanOrEqual(55)
  expect(told.filter(({ id }) => id !== 'webhook')).toHaveLength(500)
})

test('receivers that are no agents do not wait for agents, nor what an operator revokes for what failed by itself', async () => {
  const machines = named('slow', 100)
  const { fail, time, told } = await bed(machines, async () => {
    await new Promise((resolve) => setTimeout(resolve, 1000))
    return 'acted'
  })
  for (let i = 0; i < 50; i++) await fail()
  await time.pass(3000)
  const at = time.clock.monotonic()
  const { text } = await fail(true)
  await time.pass(3000)
  const heard = told.filter((one) => one.text === text)
  expect(heard.find(({ id }) => id === 'webhook')!.at - at).toBeLessThan(200)
  expect(heard.filter(({ id }) => id !== 'webhook').length).toBeGreaterThan(80) // each after the one that was under way
})

test('a notice that its machine never takes holds up none of the others', async () => {
  const { fail, time, told } = await bed(['one'], async ({ text }) => {
    if (text === '{"n":0}') throw new Error('it answered 500')
    return 'acted'
  })
  for (let i = 0; i < 30; i++) await fail()
  await time.pass(60_000)
  expect(told.filter(({ id }) => id === 'one')).toHaveLength(29)
})

test('machines that are off keep no others waiting, however much they are to be told', async () => {
  const { db, fail, notifier, time } = await bed([...named('off', 60), 'good'], async ({ id }) => {
    if (id !== 'good') throw new Error('EHOSTUNREACH')
    return 'acted'
  })
  await sql`insert into revocations(agent_id, type, text, signature, created_at) with recursive n(i) as (select 1 union all select i + 1 from n where i < 850)
    select 'failed', 'revocation', '{}', 's', 0 from n`.execute(db)
  await sql`insert into deliveries with recursive n(i) as (select 0 union all select i + 1 from n where i < 59)
    select r.id, 'agent:off' || i, 'pending', 0, 0, null from revocations as r, n`.execute(db)
  expect((await fail()).targets).toContain('agents')
  const resumed = notifier.resume()
  await time.pass(1000)
  await resumed
  await time.pass(20_000)
  expect((await fail()).targets).not.toContain('agents')
})

test('who says for ever that his actions are under way is asked about a few of them', async () => {
  const { counts, fail, time, told } = await bed(['liar', 'good'], async ({ id }) => (id === 'liar' ? 'waiting' : 'acted'))
  for (let i = 0; i < 60; i++) await fail()
  await time.pass(120_000)
  expect(told.filter(({ id }) => id === 'liar')).toHaveLength(60)
  counts.questions = 0
  await time.pass(60_000)
  expect(counts.questions).toBeLessThanOrEqual(2 * 16)
  expect(counts.questions).toBeGreaterThan(0)
})

test('of a machine that fetches its notices, and is off, a few lie ready; the others come when it has fetched them', async () => {
  const { fail, outbox, time, written } = await bed(['push0'], async () => 'acted')
  for (let i = 0; i < 100; i++) await fail()
  await time.pass(120_000)
  written.length = 0
  await time.pass(300_000)
  expect(written.reduce((sum, count) => sum + count, 0)).toBeLessThanOrEqual(12) // not each of them every 30 s
  const fetched = new Set<string>()
  for (let i = 0; i < 40; i++) {
    const offered = outbox.offer('push0')
    for (const { msg } of offered) fetched.add(msg)
    const { createHash } = await import('node:crypto')
    const digestOf = (text: string) => createHash('sha256').update(text).digest('hex')
    outbox.acknowledge(
      'push0',
      offered.map(({ msg }) => ({ digest: digestOf(msg), outcome: 'acted' as const, reason: null })),
    )
    await time.pass(1000)
  }
  expect(fetched.size).toBe(100)
})

test('while nothing can be stored, that is said once', async () => {
  const { counts, db, fail, time } = await bed(['one'], async () => 'acted')
  await fail()
  await sql`alter table deliveries rename to away`.execute(db)
  await time.pass(10_000)
  expect(counts.errors).toBeGreaterThan(0)
  const before = counts.errors
  await time.pass(60_000)
  expect(counts.errors).toBe(before)
})

test('what an operator revokes is told next to a machine that has more stored than waits in memory, whichever verifier stored it, the oldest first', async () => {
  const { fail, notifier, stores, time, told } = await bed(['slow'], async () => {
    await new Promise((resolve) => setTimeout(resolve, 1000))
    return 'acted'
  })
  for (let i = 0; i < 50; i++) await fail()
  const ordered = [(await fail(true)).text, (await fail(true)).text]
  const elsewhere = await stores(true)
  const heard = notifier.adopt({ revocation: elsewhere.id })
  await time.pass(5000)
  await heard
  const texts = told.filter(({ id }) => id === 'slow').map(({ text }) => text)
  expect(texts.slice(0, 4)).toEqual(['{"n":0}', ...ordered, elsewhere.text])
})

test('however many machines an operator revokes, each is told before what failed by itself, also to a machine that was off, and after a start', async () => {
  let isOff = true
  const answer = async () => {
    if (isOff) throw new Error('EHOSTUNREACH')
    await new Promise((resolve) => setTimeout(resolve, 100))
    return 'acted' as const
  }
  const { fail, notifier, stores, time, told } = await bed(['off', 'started'], answer)
  const ordered: string[] = []
  for (let i = 0; i < 80; i++) {
    const isOrdered = i % 2 === 1
    const { text } = i < 40 ? await stores(isOrdered) : await fail(isOrdered) // the first ones were stored before a start
    if (isOrdered) ordered.push(text)
  }
  const resumed = notifier.resume()
  await time.pass(5000)
  await resumed
  isOff = false
  await time.pass(120_000)
  for (const machine of ['off', 'started']) {
    const texts = told.filter(({ id }) => id === machine).map(({ text }) => text)
    expect(texts).toHaveLength(80)
    const waited = texts.slice(0, 48).filter((text) => !ordered.includes(text)) // of those in memory when it was off
    expect(waited.length).toBeLessThanOrEqual(9)
    expect(texts.slice(49).filter((text) => ordered.includes(text))).toEqual([])
  }
})

test('what an operator revokes is tried before what failed by itself, also if an earlier order was not taken', async () => {
  const tried: (string | undefined)[] = []
  const { fail, time } = await bed(['off'], async ({ text }) => {
    tried.push(text)
    throw new Error('EHOSTUNREACH')
  })
  for (let i = 0; i < 6; i++) await fail()
  const first = await fail(true)
  await time.pass(5000)
  expect(tried.indexOf(first.text)).toBeLessThan(tried.length - 1) // its turn is over
  tried.length = 0
  const second = await fail(true)
  await time.pass(60_000)
  expect(tried.slice(0, 2)).toContain(second.text) // behind the one whose turn it was
})
