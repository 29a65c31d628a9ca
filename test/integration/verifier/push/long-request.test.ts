import { createHash } from 'node:crypto'
import https from 'node:https'
import type { WaitAnswer } from '../../../../src/core/api/push/wait.ts'
import { runtimePolicy } from '../../../ima.ts'
import { PushBed } from '../../../push-bed.ts'
import { until } from '../../../servers.ts'
import type { Answer, SimulatedPushAgent } from '../../../simulated-push-agent.ts'

const bed = new PushBed({ KEYLIME_VERIFIER_QUOTE_INTERVAL: '30' })
beforeAll(() => bed.start())
afterAll(() => bed.stop())

type News = WaitAnswer['data']['attributes']
type Told = { digest: string; outcome: string; reason: string | null }

const NOTHING: News = { attest: null, notices: [], notifier: null }
const digestOf = (text: string) => createHash('sha256').update(text, 'utf8').digest('hex')

/** Its long request; 20 seconds are longer than any test here waits. */
const ask = (agent: SimulatedPushAgent, seconds = 20, acknowledged: Told[] = [], notifier: string | null = null): Promise<Answer> =>
  agent.request('POST', `/v3.0/agents/${agent.id}/wait`, { seconds, acknowledged, notifier }, agent.token)

async function news(...asked: Parameters<typeof ask>): Promise<News> {
  const { status, body } = await ask(...asked)
  if (status !== 200) throw new Error(`${status} ${JSON.stringify(body)}`)
  return body.data.attributes
}

/** One that knows the notifier already, so that it is told of nothing else. */
async function machine(id: string): Promise<SimulatedPushAgent & { knows: string }> {
  const agent = await bed.pushMachine(id)
  await agent.authenticate()
  const { notifier } = await news(agent, 0)
  return Object.assign(agent, { knows: digestOf(notifier!) })
}

async function revoke(id: string): Promise<void> {
  await bed.pushMachine(id)
  expect((await bed.admin.request('PUT', `/v2.6/agents/${id}/revoke`)).status).toBe(200)
}

/** What the verifier has written of the newest revocation and this machine. */
// biome-ignore lint/suspicious/noExplicitAny: the report as it came
async function written(agent: SimulatedPushAgent): Promise<any> {
  const { revocations } = (await bed.admin.request('GET', '/v2.6/revocations')).results as { revocations: Record<string, object[]>[] }
  for (const state of ['told', 'refused', 'pending', 'given_up'])
    for (const row of revocations[0]![state] as { target: string }[]) if (row.target === `agent:${agent.id}`) return { state, ...row }
}

test('the answer to a good proof says how long a request is held; a request that asks for nothing is answered at once, and has the notifier', async () => {
  const agent = await bed.pushMachine('first')
  expect((await agent.authenticate()).body.data.attributes.extensions).toMatchObject({ wait: 60 })
  const { notifier, ...rest } = await news(agent, 0)
  expect(rest).toEqual({ attest: null, notices: [] })
  expect(notifier).toMatch(/^-----BEGIN CERTIFICATE-----/)
  expect(await news(agent, 0, [], digestOf(notifier!))).toEqual(NOTHING)
  expect(await news(agent, 0.1)).toMatchObject({ notices: [] }) // one that does not take it keeps nobody busy: the request is held
})

test('a revocation comes to the request that is held, and is told no more once it is acknowledged', async () => {
  const agent = await machine('holds')
  const order: string[] = []
  const held = news(agent, 20, [], agent.knows).then((got) => {
    order.push('told')
    return { got, at: performance.now() }
  })
  await bed.pushMachine('stolen-1')
  const asked = performance.now()
  order.push('the operator asks')
  await bed.admin.request('PUT', '/v2.6/agents/stolen-1/revoke')
  const { got, at } = await held
  console.info(`from the operator's request to the machine: ${(at - asked).toFixed(1)} ms`)
  expect(order).toEqual(['the operator asks', 'told'])
  expect(JSON.parse(got.notices[0]!.msg)).toMatchObject({ type: 'revocation', agent_id: 'stolen-1' })
  const digest = digestOf(got.notices[0]!.msg)
  expect(await news(agent, 0, [{ digest, outcome: 'waiting', reason: null }], agent.knows)).toEqual(NOTHING)
  await until('it to be written', async () => (await written(agent))?.state === 'told')
  expect(await news(agent, 0, [{ digest, outcome: 'failed', reason: 'the disk is full' }], agent.knows)).toEqual(NOTHING)
  await until('what became of it', async () => (await written(agent)).outcome === 'failed')
  expect((await written(agent)).last_error).toBe('the disk is full')
  expect(await news(agent, 0.7, [], agent.knows)).toEqual(NOTHING)
})

test('what is not acknowledged is told again, to a request that is held, and over a restart of the verifier', async () => {
  const agent = await machine('forgets')
  await revoke('stolen-2')
  const of = (got: News) => got.notices.map(({ msg }) => JSON.parse(msg).agent_id as string)
  const mine = async () => {
    for (;;) {
      const got = await news(agent, 20, [], agent.knows)
      if (of(got).includes('stolen-2')) return got
    }
  }
  await mine()
  expect(await news(agent, 0, [], agent.knows)).toEqual(NOTHING) // not at once
  await mine()
  await bed.restart()
  expect((await ask(agent, 0)).status).toBe(401)
  await agent.authenticate()
  const { msg } = (await mine()).notices.find(({ msg: text }) => text.includes('stolen-2'))!
  await news(agent, 0, [{ digest: digestOf(msg), outcome: 'acted', reason: null }], agent.knows)
  await until('what became of it', async () => (await written(agent)).outcome === 'acted')
})

test('one request is held a machine: another ends it; and one whose machine is gone takes nothing with it', async () => {
  const agent = await machine('twice')
  const first = news(agent, 20, [], agent.knows)
  await new Promise((done) => setTimeout(done, 50)) // it is held
  const second = news(agent, 20, [], agent.knows)
  expect(await first).toEqual(NOTHING)
  await revoke('stolen-3')
  expect((await second).notices).toHaveLength(1)
  const gone = cutLater(agent, 50)
  await gone
  await revoke('stolen-4')
  const got = await news(agent, 20, [], agent.knows)
  expect(got.notices.map(({ msg }) => JSON.parse(msg).agent_id)).toContain('stolen-4')
})

test('notices are for the machine of the path: no token, another’s token, and a machine that was enrolled later get none', async () => {
  const [agent, other] = [await machine('owner'), await machine('other')]
  await revoke('stolen-5')
  const asBody = { seconds: 0, acknowledged: [], notifier: null }
  expect((await agent.request('POST', `/v3.0/agents/${agent.id}/wait`, asBody, null)).status).toBe(401)
  expect((await agent.request('POST', `/v3.0/agents/${agent.id}/wait`, asBody, other.token)).status).toBe(403)
  const later = await machine('later')
  expect(await news(later, 0.1, [], later.knows)).toEqual(NOTHING)
  const got = await news(agent, 0, [], agent.knows)
  const acknowledged = got.notices.map(({ msg }) => ({ digest: digestOf(msg), outcome: 'acted', reason: null }))
  await news(later, 0, acknowledged, later.knows) // what another was told is not its to acknowledge
  expect((await written(agent))?.outcome).toBeUndefined()
})

test('a request that is held when its machine is enrolled anew, with another key, is not answered with what is for that one', async () => {
  const before = await machine('renewed')
  const held = ask(before, 20, [], before.knows)
  await new Promise((done) => setTimeout(done, 50)) // it is held
  await bed.admin.request('DELETE', `/v2.6/agents/${before.id}`)
  const after = bed.stranger('renewed')
  await bed.enrol(after)
  await revoke('stolen-6')
  const { body } = await held
  expect(body.data.attributes.notices).toEqual([])
  expect((await ask(before, 0)).status).toBe(401)
})

test('a machine that asks without a pause is sent away for a while, also from its mailbox; its attestations and other machines go on', async () => {
  const { agent } = await bed.takingMachine('hasty')
  const other = await machine('patient')
  await agent.authenticate()
  // Of a mailbox that is read while another request for it comes the answer is cut, where its pieces come from a server.
  const many = (what: () => Promise<Answer>) => Promise.all(Array.from({ length: 40 }, () => what().catch(() => null)))
  const read = () => agent.request('GET', `/v3.0/agents/${agent.id}/delivery`, undefined, agent.token)
  for (const what of [() => ask(agent, 0), read]) {
    const answers = await many(what)
    const refused = answers.flatMap((answer) => (answer?.status === 429 ? [answer.headers['retry-after']] : []))
    expect([answers.some((answer) => answer?.status === 200), refused.length > 10, new Set(refused)]).toEqual([true, true, new Set(['1'])])
  }
  await agent.attest()
  expect(await news(other, 0, [], other.knows)).toEqual(NOTHING)
  await until('its turn', async () => (await ask(agent, 0)).status === 200)
})

test.each([
  ['longer than an hour', { seconds: 3601, acknowledged: [], notifier: null }],
  ['negative', { seconds: -1, acknowledged: [], notifier: null }],
  ['with a digest that is none', { seconds: 0, acknowledged: [{ digest: 'x', outcome: 'acted', reason: null }], notifier: null }],
  [
    'with too many',
    { seconds: 0, acknowledged: Array(65).fill({ digest: 'a'.repeat(64), outcome: 'acted', reason: null }), notifier: null },
  ],
])('a request that is %s is refused', async (_what, body) => {
  const agent = await bed.pushMachine(`bad-${_what.replaceAll(' ', '-')}`)
  await agent.authenticate()
  expect((await agent.request('POST', `/v3.0/agents/${agent.id}/wait`, body, agent.token)).status).toBe(400)
})

test('a verifier that stops answers what it holds', async () => {
  const agent = await machine('last')
  const held = news(agent, 20, [], agent.knows)
  await new Promise((done) => setTimeout(done, 50)) // it is held
  const stopped = bed.restart().then(() => 'stopped')
  expect(await Promise.race([held.then(() => 'answered'), stopped])).toBe('answered')
  await stopped
})

/** A request that its machine gives up after so many milliseconds. */
function cutLater(agent: SimulatedPushAgent, milliseconds: number): Promise<void> {
  const text = JSON.stringify({ seconds: 20, acknowledged: [], notifier: null })
  return new Promise((resolve) => {
    const request = https.request({
      ...{ host: '127.0.0.1', port: bed.verifier.port, ca: bed.ca, method: 'POST', path: `/v3.0/agents/${agent.id}/wait` },
      headers: { authorization: `Bearer ${agent.token}`, 'content-length': String(text.length) },
    })
    request.on('error', () => resolve())
    request.end(text)
    setTimeout(() => request.destroy(), milliseconds)
  })
}

describe('attest now', () => {
  const attest = (id: string) => bed.admin.request('PUT', `/v2.6/agents/${id}/attest`)

  test('a machine that waits is woken, and may come before its time, once; another is told when it asks', async () => {
    const agent = await machine('woken')
    await agent.attest()
    await bed.judged(agent)
    expect((await agent.negotiate()).body.errors[0].code).toBe('premature_attestation')
    await until('a word to one that waits', async () => {
      const waiting = news(agent, 20, [], agent.knows)
      const { told } = (await attest(agent.id)).results as { told: string }
      expect((await waiting).attest).toMatch(/operator/) // one that the word overtook has it, too
      return told === 'woken'
    })
    await agent.attest()
    await until('another verdict', async () => (await bed.status(agent.id)).attestation_count === 2)
    expect((await agent.negotiate()).body.errors[0].code).toBe('premature_attestation')
    expect((await attest(agent.id)).results).toEqual({ told: 'later' })
    expect((await news(agent, 20, [], agent.knows)).attest).toMatch(/operator/)
    expect(await news(agent, 0.1, [], agent.knows)).toEqual(NOTHING) // told, and not again at once
  })

  test('a machine is woken when its enrolment or its policy changes, and when it is reactivated', async () => {
    const policy = (name: string) => ({
      runtime_policy: Buffer.from(runtimePolicy({ digests: { [name]: ['ab'.repeat(32)] } })).toString('base64'),
    })
    expect((await bed.admin.request('POST', '/v2.6/allowlists/fleet', { body: policy('/a') })).status).toBe(201)
    const agent = await machine('changed')
    const told = async (change: () => Promise<unknown>) => {
      const held = news(agent, 20, [], agent.knows)
      await change()
      return (await held).attest
    }
    const put = async (path: string, body: object) =>
      expect(await bed.admin.request('PUT', path, { body })).toMatchObject({ message: expect.stringMatching(/^(Success|Created)$/) })
    expect(await told(() => put(`/v2.6/agents/${agent.id}`, { runtime_policy_name: 'fleet' }))).toMatch(/enrolment/)
    expect((await agent.negotiate()).status).toBe(201)
    expect(await told(() => put('/v2.6/allowlists/fleet', policy('/b')))).toMatch(/policy/)
    await bed.admin.request('PUT', `/v2.6/agents/${agent.id}/stop`)
    expect((await agent.negotiate()).status).toBe(403)
    expect(await told(() => bed.admin.request('PUT', `/v2.6/agents/${agent.id}/reactivate`))).toMatch(/reactivated/)
  })

  test('one that is asked is asked at once; one that was stopped, or is not enrolled, is refused', async () => {
    const asked = await bed.machine()
    await bed.add('asked', asked)
    await bed.inState('asked', 3)
    const before = asked.quotes.length
    expect((await attest('asked')).results).toEqual({ told: 'asked' })
    await until('a quote', () => asked.quotes.length > before) // the interval is 30 s
    await bed.admin.request('PUT', '/v2.6/agents/asked/stop')
    expect((await attest('asked')).status).toBe(409)
    const agent = await machine('stopped')
    await bed.admin.request('PUT', `/v2.6/agents/${agent.id}/stop`)
    expect((await attest(agent.id)).status).toBe(409)
    expect((await attest('nobody')).status).toBe(404)
  })
})

test('a machine that says that something changed may come early, but not without end', async () => {
  const agent = await machine('restless')
  const early = agent.offer() as { data: { attributes: Record<string, unknown> } }
  early.data.attributes['early'] = true
  const codes: number[] = []
  for (let i = 0; i < 8; i++) codes.push((await agent.negotiate(early)).status)
  expect(codes.slice(0, 4)).toEqual([201, 201, 201, 201])
  expect(codes).toContain(429)
  const { headers } = await until('too many', async () => {
    const answer = await agent.negotiate(early)
    return answer.status === 429 ? answer : null
  })
  expect(headers['retry-after']).toBe('1')
  await until('room for one more', async () => (await agent.negotiate(early)).status === 201)
})
