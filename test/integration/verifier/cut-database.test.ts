import { setTimeout as sleep } from 'node:timers/promises'
import { fingerprint } from '../../../src/core/attestation/release.ts'
import { startVerifier } from '../../../src/roles/verifier/start.ts'
import { loadVerifierSettings } from '../../../src/roles/verifier/verifier-settings.ts'
import { adminClient, testLogger, until } from '../../servers.ts'
import { SharedBed } from '../../shared-bed.ts'
import { enrolmentBody, type SimulatedAgent } from '../../simulated-agent.ts'

const bed = new SharedBed()
const V = Buffer.alloc(32, 'v').toString('base64')
const side = () => bed.sides[0]!
let count = 0

beforeAll(() => bed.start(1))
afterAll(() => bed.stop())

async function machine(changes: Record<string, unknown> = {}): Promise<{ id: string; agent: SimulatedAgent }> {
  const id = `m${++count}`
  expect(await bed.add(id, side(), changes)).toBe(200)
  return { id, agent: bed.machines.get(id)! }
}

async function attested(changes: Record<string, unknown> = {}) {
  const made = await machine(changes)
  await until(`attestations of ${made.id}`, async () => (await bed.status(made.id)).attestation_count > 1)
  return made
}

const lies = (agent: SimulatedAgent) =>
  agent.answer.set('/quotes/integrity', (_query, honest) => ({
    status: 200,
    body: JSON.stringify({ code: 200, status: 'Success', results: { ...honest, quote: 'rAAAA:AAAA:AAAA' } }),
  }))

/** What the history has of a machine, and the notices that were stored of it. */
async function told(id: string): Promise<{ history: string[]; revocations: number }> {
  const rows = await bed.server.query<{ type: string }>(
    `select event::jsonb ->> 'type' as type from keylime_verifier.history where agent_id = '${id}' order by id`,
  )
  const notices = await bed.server.query(`select 1 from keylime_verifier.revocations where agent_id = '${id}'`)
  return { history: rows.map(({ type }) => type), revocations: notices.length }
}

test('while the server is away machines are asked on; verdicts are stored afterwards, none is lost and none invented', async () => {
  const [honest, liar] = [await attested(), await attested()]
  const before = (await bed.status(honest.id)).attestation_count
  side().proxy.cut()
  const asked = honest.agent.quotes.length
  lies(liar.agent)
  const lied = liar.agent.quotes.length
  await until('the lie', () => liar.agent.quotes.length > lied)
  liar.agent.answer.clear() // once: what it says afterwards does not undo it
  await until('rounds', () => honest.agent.quotes.length > asked + 8)
  expect((await side().admin.request('GET', `/v2.6/agents/${honest.id}`)).status).toBe(503)
  expect((await side().admin.request('PUT', `/v2.6/agents/${honest.id}/stop`, { body: {} })).status).toBe(503)
  for (const list of ['agents/?bulk=True', 'agents/', 'revocations'])
    expect((await side().admin.request('GET', `/v2.6/${list}`)).status).toBe(503)
  side().proxy.heal()
  await bed.inState(liar.id, 9)
  await until('counters', async () => (await bed.status(honest.id)).attestation_count > before + 8)
  expect(await told(liar.id)).toEqual({ history: ['agent_enrolled', 'agent_attested', 'agent_failed'], revocations: 1 })
  expect(await told(honest.id)).toEqual({ history: ['agent_enrolled', 'agent_attested'], revocations: 0 })
})

test.each(['before', 'after'] as const)('a verdict whose commit is cut %s it arrives is stored once', async (when) => {
  for (let round = 0; round < 4; round++) {
    const { id, agent } = await attested()
    side().proxy.cutAtCommit(when)
    lies(agent)
    await bed.inState(id, 9)
    side().proxy.heal()
    expect(await told(id)).toEqual({ history: ['agent_enrolled', 'agent_attested', 'agent_failed'], revocations: 1 })
  }
})

test.each(['before', 'after'] as const)('V whose release is cut %s it arrives leaves once, to one key', async (when) => {
  for (let round = 0; round < 5; round++) {
    const { id, agent } = await machine({ v: V })
    side().proxy.cutAtCommit(when)
    await until('V', async () => (await bed.status(id)).v_released)
    side().proxy.heal()
    expect(agent.received).toHaveLength(1)
    expect((await told(id)).history.filter((type) => type === 'v_released')).toHaveLength(1)
  }
})

test('a server that is restarted in the middle of a release: each V leaves, to the key that was stored', async () => {
  const made = await Promise.all(
    Array.from({ length: 8 }, async () => {
      const id = `m${++count}`
      return { id, agent: await bed.machine(id) }
    }),
  )
  const stops: Promise<void>[] = []
  for (const { agent } of made)
    agent.answer.set('/keys/vkey', (_query, honest) => {
      if (stops.length === 0) stops.push(bed.server.stop('immediate')) // V is here, and that it is cannot be stored
      return { status: 200, body: JSON.stringify({ code: 200, status: 'Success', results: honest }) }
    })
  const added = Promise.all(made.map(({ id }) => bed.add(id, side(), { v: V })))
  await until('a release', () => stops.length > 0)
  await Promise.all(stops)
  await sleep(300)
  await bed.server.start()
  const stopped = made.filter(({ agent }) => agent.received.length > 0)
  expect(stopped.length).toBeGreaterThan(0)
  const statuses = await added
  for (const [i, { id, agent }] of made.entries()) {
    if (statuses[i] !== 200) expect([200, 409]).toContain(await bed.add(id, side(), { v: V })) // the answer to the first may be lost
    await until(`V of ${id}`, async () => (await bed.status(id)).v_released)
    expect(new Set(agent.received.map(String))).toEqual(new Set([String(Buffer.from(V, 'base64'))]))
    expect((await told(id)).history.filter((type) => type === 'v_delivered')).toHaveLength(1)
    const keys = await bed.server.query<{ key: string }>(
      `select distinct event::jsonb ->> 'transport_key_sha256' as key from keylime_verifier.history
       where agent_id = '${id}' and event::jsonb ->> 'type' in ('v_released', 'v_delivered')`,
    )
    expect(keys).toEqual([{ key: fingerprint(agent.transportKey) }])
  }
})

test('a way that swallows everything is given up in time, and what was to be stored is', async () => {
  const [honest, liar] = [await attested(), await attested()]
  side().proxy.freeze()
  lies(liar.agent)
  const asked = honest.agent.quotes.length
  await sleep(4000)
  expect(honest.agent.quotes.length).toBeGreaterThan(asked + 8)
  side().proxy.heal()
  await until('the verdict', async () => (await told(liar.id)).history.includes('agent_failed'), 40)
  await until('an answer', async () => (await bed.status(liar.id))?.operational_state === 9, 40)
  expect(await told(liar.id)).toEqual({ history: ['agent_enrolled', 'agent_attested', 'agent_failed'], revocations: 1 })
})

test('while a server that took over lacks the last changes no V leaves; the next start withholds it', async () => {
  await attested()
  await bed.server.query('update keylime_verifier.database_mark set changes = changes / 2')
  const { id, agent } = await machine({ v: V })
  await until('a release that is stored', async () => (await told(id)).history.includes('v_released'))
  const asked = agent.quotes.length
  await until('further rounds', () => agent.quotes.length > asked + 3)
  expect([agent.received.length, (await bed.status(id)).v_released]).toEqual([0, false])
  await side().admin.close()
  await side().verifier.stop()
  side().verifier = await startVerifier(loadVerifierSettings(side().home.env), testLogger('verifier'))
  side().admin = adminClient(side().home.dir, side().verifier.port)
  expect(await bed.status(id)).toMatchObject({ v_withheld: true, v_released: false })
  const before = agent.quotes.length
  await until('rounds', () => agent.quotes.length > before + 3)
  expect(agent.received).toEqual([])
})

test('an older database, put in the place of the one that was used, withholds every V that waits', async () => {
  const waits = await bed.machine('waits')
  waits.answer.set('/keys/vkey', () => 'drop')
  await bed.add('waits', side(), { v: V })
  await until('a release', async () => (await told('waits')).history.includes('v_released'))
  await side().admin.close()
  await side().verifier.stop()
  await bed.server.query('update keylime_verifier.database_mark set changes = changes - 3')
  const warnings: string[] = []
  const tell = (text: string) => warnings.push(text)
  side().verifier = await startVerifier(loadVerifierSettings(side().home.env), {
    ...testLogger('verifier'),
    error: tell,
    warn: tell,
  } as never)
  side().admin = adminClient(side().home.dir, side().verifier.port)
  waits.answer.clear()
  expect(warnings.join()).toContain('machines whose key is withheld')
  expect(await bed.status('waits')).toMatchObject({ v_withheld: true, v_released: false })
  await until('quotes', () => waits.quotes.length > 5)
  expect(waits.received.length).toBeLessThanOrEqual(1) // before, when its answer was lost
})

test('a verifier does not start without its database, and says what to do', async () => {
  const { home, proxy } = await bed.home()
  proxy.cut()
  await expect(startVerifier(loadVerifierSettings(home.env), testLogger('verifier'))).rejects.toMatchObject({
    code: 'unavailable',
    hint: expect.any(String),
  })
  await proxy.close()
  home.remove()
})

/** A verifier that is stopped; requests have no time to end then. */
async function oneMore() {
  const { home, proxy } = await bed.home()
  const settings = loadVerifierSettings({ ...home.env, KEYLIME_VERIFIER_SHUTDOWN_DRAIN_TIMEOUT: '0' })
  const verifier = await startVerifier(settings, testLogger('verifier'))
  const admin = adminClient(home.dir, verifier.port)
  async function remove(): Promise<void> {
    await admin.close()
    await proxy.close()
    home.remove()
  }
  return { proxy, verifier, admin, name: settings.values.uuid, remove }
}

test('a server that swallows everything keeps no verifier from stopping: systemd would kill it', async () => {
  const { proxy, verifier, admin, remove } = await oneMore()
  const { id } = await machine()
  proxy.freeze()
  const unanswered = admin.request('PUT', `/v2.6/agents/${id}/stop`, { body: {} }).catch(() => undefined)
  await sleep(100)
  const stopping = process.hrtime()
  await verifier.stop()
  expect(process.hrtime(stopping)[0]).toBeLessThan(20) // each thing that it stores at the end would wait for 12 seconds
  await unanswered
  await remove()
})

test('a server that answers is left in order, also if a machine does not confirm its key until the verifier ends', async () => {
  const { verifier, admin, name, remove } = await oneMore()
  const id = `m${++count}`
  const agent = await bed.machine(id)
  let isAsked = false
  agent.answer.set('/keys/vkey', () => {
    isAsked = true
    return 'hang'
  })
  const enrolled = admin.request('POST', `/v2.6/agents/${id}`, { body: enrolmentBody(agent, { v: V }) })
  expect((await enrolled).status).toBe(200)
  await until('the release', () => isAsked)
  await verifier.stop()
  expect(await bed.server.query(`select name from keylime_verifier.verifiers where name = '${name}'`)).toEqual([])
  await remove()
})
