import { setTimeout as sleep } from 'node:timers/promises'
import { PushBed } from '../../../push-bed.ts'
import { until } from '../../../servers.ts'
import { softwareAk } from '../../../software-ak.ts'
import { walk } from '../../../thorough.ts'

const bed = new PushBed({ KEYLIME_VERIFIER_NONCE_LIFETIME: '1' })
beforeAll(() => bed.start())
afterAll(() => bed.stop())

/** Waits for the end of judging. */
const failure = async (id: string) => (await until(`a failure of ${id}`, async () => (await bed.status(id)).last_event_id)) as string

test('a proof by another key, over another challenge, or for another id opens nothing, and uses the session up', async () => {
  const agent = await bed.pushMachine('owner')
  const other = await bed.pushMachine('other')
  const prove = async (id: string, proof: object) => (await agent.request('PATCH', `/v3.0/sessions/${id}`, proof)).status
  const first = await agent.openSession()
  expect(await prove(first.id, { data: { ...(other.proof(first.challenge) as { data: object }).data } })).toBe(401)
  expect(await prove(first.id, agent.proof(first.challenge))).toBe(404)
  const second = await agent.openSession()
  expect(await prove(second.id, agent.proof(first.challenge))).toBe(401)
  const [mine, theirs] = [await agent.openSession(), await other.openSession()]
  expect(await prove(theirs.id, agent.proof(theirs.challenge))).toBe(401)
  expect(await prove(mine.id, agent.proof(mine.challenge))).toBe(200)
  expect(await prove('00000000-0000-7000-8000-000000000000', agent.proof(mine.challenge))).toBe(200) // long expired: "fail"
  expect(await prove('no-session', agent.proof(mine.challenge))).toBe(404)
})

test('a key of the machine’s own choice is no proof, and a failed one ends no session of the owner', async () => {
  const agent = await bed.pushMachine('victim')
  await agent.authenticate()
  const thief = bed.stranger('victim')
  expect((await thief.authenticate()).status).toBe(401)
  expect((await agent.negotiate()).status).toBe(201)
  thief.token = agent.token
  agent.ak = softwareAk('ecc')
})

test('a challenge that has expired, and an id that nobody enrolled, fail without a token', async () => {
  const agent = await bed.pushMachine('late')
  const session = await agent.openSession()
  await sleep(1100) // the life of a challenge
  const late = await agent.request('PATCH', `/v3.0/sessions/${session.id}`, agent.proof(session.challenge))
  const unknown = await bed.stranger('nobody').authenticate()
  for (const { status, body } of [late, unknown]) {
    expect([status, body.data.attributes.evaluation, body.data.attributes.token]).toEqual([200, 'fail', undefined])
  }
})

test('a new proof ends the session before it', async () => {
  const agent = await bed.pushMachine('twice')
  await agent.authenticate()
  const before = agent.token
  await agent.authenticate()
  expect((await agent.request('POST', '/v3.0/agents/twice/attestations', agent.offer(), before)).status).toBe(401)
  expect((await agent.negotiate()).status).toBe(201)
})

test('another’s token, and another’s place, are refused', async () => {
  const [agent, other] = [await bed.pushMachine('mine'), await bed.pushMachine('theirs')]
  await other.authenticate()
  await agent.authenticate()
  const opened = await other.negotiate()
  const location = String(opened.headers['location'])
  expect((await agent.request('PATCH', location, agent.evidence(opened), agent.token)).status).toBe(403)
  expect((await agent.request('POST', '/v3.0/agents/theirs/attestations', agent.offer(), agent.token)).status).toBe(403)
  expect((await agent.request('POST', '/v3.0/agents/mine/attestations', agent.offer(), null)).status).toBe(401)
  expect((await agent.request('POST', '/v3.0/agents/mine/attestations', agent.offer(), `${agent.token}x`)).status).toBe(401)
})

test('evidence for another attestation is refused by its place, and by its challenge', async () => {
  const agent = await bed.pushMachine('mixed-up')
  await agent.authenticate()
  const first = await agent.negotiate()
  const second = await agent.negotiate()
  const old = await agent.request('PATCH', String(first.headers['location']), agent.evidence(first), agent.token)
  expect([old.status, old.body.errors[0].code]).toEqual([403, 'old_attestation'])
  const wrong = await agent.request('PATCH', String(second.headers['location']), agent.evidence(first), agent.token)
  expect(wrong.status).toBe(202)
  expect(await failure(agent.id)).toBe('qoute_validation.quote_validation')
  expect(await bed.view(agent, 'latest')).toMatchObject({ evaluation: 'fail', failure_reason: 'broken_evidence_chain' })
})

test('evidence of another machine, and a clock that went back, fail the machine', async () => {
  const [agent, other] = [await bed.pushMachine('a-clone'), await bed.pushMachine('the-other')]
  await agent.authenticate()
  const opened = await agent.negotiate()
  await agent.request('PATCH', String(opened.headers['location']), other.evidence(opened), agent.token)
  expect(await failure(agent.id)).toBe('qoute_validation.quote_validation')
  Object.assign(other.clock, { value: 50n, resetCount: 7 })
  await other.attest()
  await bed.judged(other)
  Object.assign(other.clock, { value: 60n, resetCount: 6 })
  await sleep(60) // the interval
  await other.attest()
  expect(await failure(other.id)).toBe('qoute_validation.quote_validation')
  expect((await bed.status(other.id)).failures[0].context.message).toContain('reset counter went back')
})

test('evidence after the life of its challenge is refused, and says nothing of the machine', async () => {
  const short = new PushBed({ KEYLIME_VERIFIER_CHALLENGE_LIFETIME: '1' })
  await short.start()
  try {
    const agent = await short.pushMachine('slow')
    await agent.authenticate()
    const opened = await agent.negotiate()
    await sleep(1100) // its life
    const late = await agent.request('PATCH', String(opened.headers['location']), agent.evidence(opened), agent.token)
    expect([late.status, late.body.errors[0].code]).toEqual([403, 'challenges_expired'])
    expect((await short.status(agent.id)).failures).toEqual([])
  } finally {
    await short.stop()
  }
})

test('what is no evidence is refused, keeps the challenge, and one that could not collect is known for it', async () => {
  const agent = await bed.pushMachine('clumsy')
  await agent.authenticate()
  const opened = await agent.negotiate()
  const location = String(opened.headers['location'])
  const patch = async (body: unknown) => (await agent.request('PATCH', location, body, agent.token)).status
  expect(await patch('{')).toBe(400)
  expect(await patch({ data: { type: 'error', attributes: { evidence_collected: [] } } })).toBe(400)
  expect(await patch('')).toBe(400)
  expect(await patch(agent.evidence(opened))).toBe(202)
  expect(await bed.judged(agent)).toMatchObject({ evaluation: 'pass' })
})

test('no quote among the evidence fails the machine', async () => {
  const agent = await bed.pushMachine('quoteless')
  await agent.authenticate()
  const opened = await agent.negotiate()
  const nothing = { data: { type: 'attestation', attributes: { evidence_collected: [] } } }
  expect((await agent.request('PATCH', String(opened.headers['location']), nothing, agent.token)).status).toBe(202)
  expect(await failure(agent.id)).toBe('qoute_validation.invalid_data')
})

test('a machine with an address is not switched to the other way by what it sends', async () => {
  const asked = await bed.machine()
  await bed.add('has-address', asked)
  const agent = bed.stranger('has-address')
  agent.ak = asked.ak
  const { status, body } = await agent.authenticate()
  expect([status, body.errors[0].detail]).toEqual([403, expect.stringContaining('--push-model')])
})

walk('a flood of sessions from one address, under the id of another and its own, takes nothing from the owner', async () => {
  const agent = await bed.pushMachine('wanted')
  await agent.authenticate()
  const thieves = Array.from({ length: 8 }, () => bed.stranger('wanted'))
  await Promise.all(
    thieves.map(async (thief) => {
      for (let i = 0; i < 125; i++) await thief.openSession()
      expect((await thief.authenticate()).status).toBe(401)
    }),
  )
  expect((await agent.negotiate()).status).toBe(201)
  expect((await agent.authenticate()).status).toBe(200)
  expect((await agent.negotiate()).status).toBe(201)
})

test('no challenge is told before its time: who holds a machine today cannot prove for it tomorrow', async () => {
  const agent = await bed.pushMachine('foreseen')
  const { id } = await agent.openSession()
  const made = (ms: number) =>
    id.replace(
      /^.{13}/,
      ms
        .toString(16)
        .padStart(12, '0')
        .replace(/^(.{8})/, '$1-'),
    )
  for (const ahead of [60_000, 86_400_000, 31_536_000_000]) {
    const answer = await agent.request('PATCH', `/v3.0/sessions/${made(Date.now() + ahead)}`, agent.proof(Buffer.alloc(16)))
    expect([answer.status, JSON.stringify(answer.body).includes('challenge')]).toEqual([404, false])
  }
})
