import pg from 'pg'
import { BOOT_AGGREGATE, imaLine, pcr10After, runtimePolicy } from '../../ima.ts'
import { until } from '../../servers.ts'
import { SharedBed, type Side } from '../../shared-bed.ts'
import type { SimulatedAgent } from '../../simulated-agent.ts'

const bed = new SharedBed()
const IDS = ['a', 'b', 'c', 'd', 'e', 'f']
const V = Buffer.alloc(32, 'v').toString('base64')
const [left, right] = [() => bed.sides[0]!, () => bed.sides[1]!]
const counts = () => IDS.map((id) => bed.machines.get(id)!.quotes.length)

beforeAll(async () => {
  await bed.start(1)
  for (const id of IDS) await bed.add(id, left(), { v: V })
})
afterAll(() => bed.stop())

test('a verifier that comes to another gets its share, and all machines are attested on', async () => {
  for (const id of IDS) await bed.inState(id, 3)
  await bed.start(2)
  await until('shares', async () => String(await bed.shares()) === '3,3', 10)
  const before = counts()
  await until('quotes of all', () => counts().every((count, i) => count > before[i]! + 2))
  for (const id of IDS) expect(await bed.status(id, right())).toMatchObject({ operational_state: 3, v_released: true })
  expect(IDS.map((id) => bed.machines.get(id)!.received.length)).toEqual(IDS.map(() => 1))
})

test('each verifier says which one attests a machine', async () => {
  const stored = await bed.server.query<{ agent_id: string; name: string }>(
    'select agent_id, name from keylime_verifier.leases join keylime_verifier.verifiers using (run)',
  )
  const holders = Object.fromEntries(stored.map(({ agent_id, name }) => [agent_id, name]))
  expect(Object.values(holders).toSorted()).toEqual(['verifier-1', 'verifier-2'].flatMap((name) => [name, name, name]))
  const of = (name: string) => IDS.filter((id) => holders[id] === name)
  for (const side of bed.sides) {
    const all = (await side.admin.request('GET', '/v2.6/agents/?bulk=True')).results as Record<string, { verifier_id: string | null }>
    expect(Object.fromEntries(Object.entries(all).map(([id, { verifier_id }]) => [id, verifier_id]))).toEqual(holders)
    for (const id of IDS) expect((await bed.status(id, side)).verifier_id).toBe(holders[id])
    const some = (await side.admin.request('GET', '/v2.6/agents/?bulk=True&verifier=verifier-2')).results
    expect(Object.keys(some as object)).toEqual(of('verifier-2'))
    const ids = (await side.admin.request('GET', '/v2.6/agents/?verifier=verifier-1')).results
    expect(ids).toEqual({ uuids: of('verifier-1').map((id) => [id]) })
  }
})

test('a command works at each verifier, whichever attests the machine', async () => {
  for (const [i, id] of IDS.slice(0, 4).entries()) {
    const [one, other] = i % 2 ? [left(), right()] : [right(), left()]
    expect((await one.admin.request('PUT', `/v2.6/agents/${id}/stop`, { body: {} })).status).toBe(200)
    const before = bed.machines.get(id)!.quotes.length
    await bed.inState(id, 10, other) // as soon as it has heard that it has lost the machine
    expect((await other.admin.request('PUT', `/v2.6/agents/${id}/reactivate`, { body: {} })).status).toBe(200)
    await bed.inState(id, 3, one)
    expect(bed.machines.get(id)!.quotes.length).toBeGreaterThan(before)
  }
  await bed.add('gone', left())
  expect((await right().admin.request('DELETE', '/v2.6/agents/gone')).status).toBe(200)
  expect((await left().admin.request('GET', '/v2.6/agents/gone')).status).toBe(404)
  const asked = bed.machines.get('gone')!.quotes.length
  await new Promise((resolve) => setTimeout(resolve, 400))
  expect(bed.machines.get('gone')!.quotes.length).toBeLessThanOrEqual(asked + 1)
})

test('of two tenants that add one id at two verifiers at once, one does', async () => {
  for (let round = 0; round < 5; round++) {
    const id = `both${round}`
    const machine = await bed.machine(id)
    const statuses = await Promise.all(bed.sides.map((side) => bed.add(id, side, { v: V })))
    expect(statuses.toSorted()).toEqual([200, 409])
    await until('V', () => machine.received.length === 1)
    expect((await left().admin.request('DELETE', `/v2.6/agents/${id}`)).status).toBe(200)
  }
})

const FILES: Record<string, string> = { good: '11'.repeat(32), more: '22'.repeat(32) }

/** A machine whose kernel has measured these files. */
function measures(machine: SimulatedAgent, files: readonly string[]): void {
  const lines = [BOOT_AGGREGATE, ...files.map((file) => imaLine(`ima-ng sha256:${FILES[file]} ${file}`))]
  machine.pcrs.set(10, pcr10After(lines))
  machine.answer.set('/quotes/integrity', (query, honest) => {
    const from = Number(query.get('ima_ml_entry'))
    const list = lines.slice(from).map((line) => `${line}\n`)
    const results = { ...honest, ima_measurement_list: list.join(''), ima_measurement_list_entry: from }
    return { status: 200, body: JSON.stringify({ code: 200, status: 'Success', results }) }
  })
}

test('a policy that is changed at one is judged by at all', async () => {
  const policy = (files: string[]) => {
    const digests = { boot_aggregate: ['b0'.repeat(32)], ...Object.fromEntries(files.map((file) => [file, [FILES[file]]])) }
    return { body: { runtime_policy: Buffer.from(runtimePolicy({ digests })).toString('base64') } }
  }
  expect((await left().admin.request('POST', '/v2.6/allowlists/shared', policy(['good', 'more']))).status).toBe(201)
  const ids = ['p', 'q', 'r', 's']
  for (const [i, id] of ids.entries()) {
    measures(await bed.machine(id), ['good', 'more'])
    expect(await bed.add(id, bed.sides[i % 2]!, { runtime_policy_name: 'shared' })).toBe(200)
  }
  for (const id of ids) await until('a good verdict', async () => (await bed.status(id)).attestation_count > 0)
  expect((await right().admin.request('DELETE', '/v2.6/allowlists/shared')).status).toBe(409)
  expect((await right().admin.request('PUT', '/v2.6/allowlists/shared', policy(['good']))).status).toBe(201)
  for (const id of ids) await bed.inState(id, 9, left())
  for (const id of ids) expect((await bed.status(id)).last_event_id).toContain('ima')
  for (const id of ids) expect((await right().admin.request('DELETE', `/v2.6/agents/${id}`)).status).toBe(200)
})

test('machines of all verifiers are told of a revocation, once each', async () => {
  const told = new Map<string, number>()
  for (const id of IDS) bed.machines.get(id)!.onNotification = () => void told.set(id, (told.get(id) ?? 0) + 1)
  expect((await bed.shares()).every((share) => share > 0)).toBe(true)
  const liar = bed.machines.get('a')!
  liar.answer.set('/quotes/integrity', (_query, honest) => ({
    status: 200,
    body: JSON.stringify({ code: 200, status: 'Success', results: { ...honest, quote: 'rAAAA:AAAA:AAAA' } }),
  }))
  await bed.inState('a', 9, right())
  const others = IDS.filter((id) => id !== 'a')
  await until('notices', () => others.every((id) => told.get(id) === 1), 15)
  const revocations = await bed.server.query<{ n: string }>("select count(*) as n from keylime_verifier.revocations where agent_id = 'a'")
  expect(revocations).toEqual([{ n: '1' }])
  await until('that it is known', async () => {
    const rows = await bed.server.query<{ n: string }>(
      "select count(*) as n from keylime_verifier.deliveries where state = 'pending' and target <> 'agent:a'",
    )
    return rows[0]!.n === '0'
  })
  expect(others.map((id) => told.get(id))).toEqual(others.map(() => 1))
})

test('a machine that is taken over before it was told of a revocation is told by who attests it then', async () => {
  const [told, tries] = [new Map<string, number>(), new Map<string, number>()]
  const count = (of: Map<string, number>, id: string) => void of.set(id, (of.get(id) ?? 0) + 1)
  const restart = async (id: string, side: () => Side) => {
    for (const word of ['stop', 'reactivate'])
      expect((await side().admin.request('PUT', `/v2.6/agents/${id}/${word}`, { body: {} })).status).toBe(200)
  }
  await restart('b', left)
  let isBusy = true
  bed.machines.get('b')!.answer.set('/notifications/revocation', () => {
    count(isBusy ? tries : told, 'b')
    const code = isBusy ? 503 : 200
    return { status: code, body: JSON.stringify({ code, status: '', results: {} }) }
  })
  bed.machines.get('c')!.answer.set('/quotes/integrity', (_query, honest) => ({
    status: 200,
    body: JSON.stringify({ code: 200, status: 'Success', results: { ...honest, quote: 'rAAAA:AAAA:AAAA' } }),
  }))
  await bed.inState('c', 9, right())
  await until('that it was tried', () => (tries.get('b') ?? 0) > 0, 10)
  await restart('b', right)
  isBusy = false
  await until('that it is told', () => told.get('b') === 1, 40)
  bed.machines.get('b')!.answer.delete('/notifications/revocation')
}, 90_000)

/** The functions by which the server tells verifiers that something is new, as they are without that. */
async function silence(): Promise<void> {
  for (const what of ['policy', 'revocation', 'lease']) {
    const [{ text }] = (await bed.server.query<{ text: string }>(
      `select pg_get_functiondef('keylime_verifier.keylime_${what}_news()'::regprocedure) as text`,
    )) as [{ text: string }]
    expect(text).toContain('perform pg_notify')
    await bed.server.query(text.replace(/perform pg_notify\([^)]*\);/, ''))
  }
}

test('a policy that is changed at one is judged by at all where the server tells nobody: they ask', async () => {
  const policy = (files: string[]) => {
    const digests = { boot_aggregate: ['b0'.repeat(32)], ...Object.fromEntries(files.map((file) => [file, [FILES[file]]])) }
    return { body: { runtime_policy: Buffer.from(runtimePolicy({ digests })).toString('base64') } }
  }
  expect((await left().admin.request('POST', '/v2.6/allowlists/silent', policy(['good', 'more']))).status).toBe(201)
  measures(await bed.machine('asks'), ['good', 'more'])
  expect(await bed.add('asks', left(), { runtime_policy_name: 'silent' })).toBe(200)
  await until('a good verdict', async () => (await bed.status('asks')).attestation_count > 0)
  await silence()
  const heard: string[] = []
  const listener = new pg.Client({ connectionString: bed.server.url() })
  await listener.connect()
  listener.on('notification', ({ channel }) => heard.push(channel))
  await listener.query('listen keylime_verifier')
  try {
    expect((await right().admin.request('PUT', '/v2.6/allowlists/silent', policy(['good']))).status).toBe(201)
    const changed = performance.now()
    await bed.inState('asks', 9, left())
    expect(performance.now() - changed).toBeLessThan(2000 + 500) // and a round
    expect(heard).toEqual([])
  } finally {
    await listener.end()
  }
})

test('a verifier that ends leaves its machines to the other at once', async () => {
  await bed.end(right())
  const before = counts()
  await until('quotes of all', () => counts().every((count, i) => IDS[i] === 'a' || IDS[i] === 'c' || count > before[i]! + 2), 10)
  expect(IDS.slice(1).map((id) => bed.machines.get(id)!.received.length)).toEqual(IDS.slice(1).map(() => 1))
})
