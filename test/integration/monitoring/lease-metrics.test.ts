import { until } from '../../servers.ts'
import { SharedBed, type Side } from '../../shared-bed.ts'

const bed = new SharedBed({ KEYLIME_VERIFIER_METRICS_IP: '127.0.0.1', KEYLIME_VERIFIER_METRICS_PORT: '0' })
const IDS = ['a', 'b', 'c', 'd', 'e', 'f']
const [left, right] = [() => bed.sides[0]!, () => bed.sides[1]!]

beforeAll(async () => {
  await bed.start(1)
  for (const id of IDS) await bed.add(id, left())
})
afterAll(() => bed.stop())

/** Figures of a verifier, by their names with labels. */
async function figures(side: Side): Promise<(name: string) => number> {
  const text = await (await fetch(`http://127.0.0.1:${side.verifier.metricsPort}/metrics`)).text()
  const lines = new Map(text.split('\n').map((line) => [line.slice(0, line.lastIndexOf(' ')), Number(line.slice(line.lastIndexOf(' ')))]))
  return (name) => lines.get(`keylime_verifier_${name}`) ?? Number.NaN
}

/** One at a time, as only some a second are answered. */
const readiness = async (port: number | null) => {
  await new Promise((resolve) => setTimeout(resolve, 200))
  const answer = await fetch(`http://127.0.0.1:${port}/readyz`)
  return [answer.status, await answer.text()] as const
}

/** Waits for a figure: one scrape at a time, as only some a second are answered. */
const shows = (side: Side, name: string, is: (value: number) => boolean) =>
  until(`${name}`, async () => {
    await new Promise((resolve) => setTimeout(resolve, 200))
    return is((await figures(side))(name))
  })

test('machines that a verifier has, its share, and those that it left to another', async () => {
  await shows(left(), 'leases_wanted', (count) => count === 6)
  const alone = await figures(left())
  expect(['verifiers', 'leases_held', 'leases_wanted', 'leases_given_total'].map(alone)).toEqual([1, 6, 6, 0])
  await bed.start(2)
  for (const side of bed.sides) for (const name of ['leases_held', 'leases_wanted']) await shows(side, name, (count) => count === 3)
  const [one, other] = [await figures(left()), await figures(right())]
  expect(['verifiers', 'leases_held', 'leases_wanted', 'leases_given_total'].map(one)).toEqual([2, 3, 3, 3])
  expect(['leases_held', 'leases_wanted', 'leases_taken_total{why="free"}', 'leases_taken_total{why="asked"}'].map(other)).toEqual([
    3, 3, 3, 0,
  ])
})

test('a machine that a command moved is asked for at one, and lost at the other', async () => {
  const before = (await figures(left()))('leases_lost_total')
  for (const id of IDS) expect((await right().admin.request('PUT', `/v2.6/agents/${id}/stop`, { body: {} })).status).toBe(200)
  await shows(left(), 'leases_lost_total', (count) => count >= before + 3)
  expect((await figures(right()))('leases_taken_total{why="asked"}')).toBeGreaterThanOrEqual(3)
  for (const id of IDS) expect((await right().admin.request('PUT', `/v2.6/agents/${id}/reactivate`, { body: {} })).status).toBe(200)
})

test('who adds a machine that is there, or names a policy that is not, hears so, and no commit has failed', async () => {
  await bed.machine('twin')
  const statuses = await Promise.all(bed.sides.map((side) => bed.add('twin', side)))
  expect(statuses.toSorted()).toEqual([200, 409])
  expect(await bed.add('other', left(), { runtime_policy_name: 'missing' })).toBe(404)
  for (const side of bed.sides) {
    const now = await figures(side)
    for (const commit of ['enrolment', 'state', 'progress']) expect(now(`commit_failures_total{commit="${commit}"}`)).toBe(0)
  }
  expect((await left().admin.request('DELETE', '/v2.6/agents/twin')).status).toBe(200)
})

test('while the server is away a verifier is not ready and says why, also when it has nothing to store; then it is', async () => {
  for (const side of bed.sides) expect(await readiness(side.verifier.metricsPort)).toEqual([200, 'ready\n'])
  left().proxy.cut()
  const [status, text] = await until('it to say so', async () => {
    const answer = await readiness(left().verifier.metricsPort)
    return answer[0] === 503 && answer[1].split('\n').length > 2 ? answer : undefined
  })
  expect(status).toBe(503)
  expect(text).toMatch(/^the database cannot be written: [A-Za-z0-9 ]+$/m)
  expect(text).toMatch(/^what other verifiers do is not known: the log says why$/m)
  expect(text).not.toMatch(/127\.0\.0\.1/)
  expect(await readiness(right().verifier.metricsPort)).toEqual([200, 'ready\n'])
  left().proxy.heal()
  await until('it to be ready', async () => (await readiness(left().verifier.metricsPort))[0] === 200)
})

test('connections to the server, and those that failed', async () => {
  const before = await figures(left())
  expect(before('database_connections_limit')).toBe(15)
  expect(before('database_connections{state="busy"}') + before('database_connections{state="idle"}')).toBeGreaterThan(0)
  left().proxy.cut()
  await shows(left(), 'database_connection_failures_total', (count) => count > before('database_connection_failures_total'))
  left().proxy.heal()
  await until('it to answer', async () => (await left().admin.request('GET', '/v2.6/agents/a')).status === 200)
})

test('one that ends leaves its machines to the other, which takes over', async () => {
  await bed.end(right())
  await shows(left(), 'verifiers', (count) => count === 1)
  await shows(left(), 'leases_held', (count) => count === 6)
  expect((await figures(left()))('leases_taken_total{why="free"}')).toBeGreaterThan(0)
})

test('machines that bring their evidence stay where they come to: nobody else misses them', async () => {
  for (const id of IDS) expect((await left().admin.request('DELETE', `/v2.6/agents/${id}`)).status).toBe(200)
  for (const id of IDS) expect(await bed.add(id, left(), { cloudagent_ip: null, cloudagent_port: null, mtls_cert: null })).toBe(200)
  await bed.start(2)
  await shows(left(), 'verifiers', (count) => count === 2)
  await shows(right(), 'verifiers', (count) => count === 2)
  await shows(right(), 'leases_wanted', (count) => count === 0)
  expect([(await figures(left()))('leases_held'), (await figures(right()))('leases_held')]).toEqual([6, 0])
  for (const id of ['p', 'q']) expect(await bed.add(id, left())).toBe(200) // these can be left to the other, and are
  for (const name of ['leases_held', 'leases_wanted']) await shows(right(), name, (count) => count === 2)
})
