import fs from 'node:fs'
import path from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { PushBed } from '../../../push-bed.ts'
import { holds } from '../../../secret-search.ts'
import { until } from '../../../servers.ts'
import { pushEnrolment, released, type SimulatedPushAgent, takingDelivery } from '../../../simulated-push-agent.ts'
import { walk } from '../../../thorough.ts'

const bed = new PushBed({ KEYLIME_VERIFIER_SESSION_LIFETIME: '3600' })
beforeAll(() => bed.start())
afterAll(() => bed.stop())

const pause = () => sleep(60) // the interval
const askFor = (agent: SimulatedPushAgent, path: string, token = agent.token) =>
  agent.request('GET', `/v3.0/agents/${agent.id}/${path}`, undefined, token)
const nothing = { status: 200, body: { data: { attributes: { encrypted_key: null } } } }

test('the token of another machine opens neither mailbox nor V', async () => {
  const { agent } = await bed.takingMachine('owner')
  const thief = await bed.takingMachine('thief')
  const { location } = await agent.attest()
  await thief.agent.authenticate()
  for (const at of ['delivery', `${location.split('/').slice(4).join('/')}/delivery`]) {
    expect((await askFor(agent, at, thief.agent.token)).status).toBe(403)
    expect((await askFor(agent, at, null)).status).toBe(401)
    expect((await askFor(agent, at, `${agent.token}x`)).status).toBe(401)
  }
  expect(released(await agent.askForV(location)).encrypted_key).not.toBeNull()
})

test('the token of an enrolment before opens nothing of the one that took its place', async () => {
  const { agent: before } = await bed.takingMachine('successor')
  const { location } = await before.attest()
  await bed.judged(before)
  const heir = bed.stranger('successor')
  heir.takes = takingDelivery()
  const ordered = bed.ordered('successor')
  const body = pushEnrolment(heir, ordered.enrolment)
  expect((await bed.admin.request('PUT', '/v2.6/agents/successor', { body })).status).toBe(200)
  expect((await before.askForV(location)).status).toBe(401)
  expect((await askFor(before, 'delivery')).status).toBe(401)
  expect(await heir.fetchV()).toEqual(ordered.v)
  expect((await before.askForV('/v3.0/agents/successor/attestations/latest')).status).toBe(401)
})

test('what passed for an enrolment gets nothing of the next one of the same machine', async () => {
  const { agent } = await bed.takingMachine('same')
  const { location } = await agent.attest()
  expect(released(await agent.askForV(location)).encrypted_key).not.toBeNull()
  const ordered = bed.ordered('same')
  expect((await bed.admin.request('PUT', '/v2.6/agents/same', { body: ordered.enrolment })).status).toBe(200)
  for (const at of [location, '/v3.0/agents/same/attestations/latest']) expect((await agent.askForV(at)).status).toBe(404)
  expect(await agent.fetchV()).toEqual(ordered.v)
})

test('V is not for evidence that failed', async () => {
  const { agent } = await bed.takingMachine('fails')
  await agent.authenticate()
  const opened = await agent.negotiate()
  const location = String(opened.headers['location'])
  await agent.request('PATCH', location, agent.evidence(opened, Buffer.alloc(16, 9)), agent.token)
  expect(released(await agent.askForV(location))).toMatchObject({ evaluation: 'fail', encrypted_key: null })
  expect(await bed.status('fails')).toMatchObject({ v_released: false })
})

test('V is not for evidence that is not judged, or not there', async () => {
  const { agent } = await bed.takingMachine('waits')
  await agent.authenticate()
  expect((await agent.askForV('/v3.0/agents/waits/attestations/0')).status).toBe(404)
  const opened = await agent.negotiate()
  const held = agent.askForV(String(opened.headers['location']))
  const after = agent.askForV(String(opened.headers['location'])) // ends the first
  expect(released(await held)).toMatchObject({ evaluation: 'pending', encrypted_key: null })
  await agent.request('PATCH', String(opened.headers['location']), agent.evidence(opened), agent.token)
  expect(released(await after)).toMatchObject({ evaluation: 'pass', encrypted_key: expect.any(String) })
})

test('V is not for an attestation before the latest, and who waits for one learns that', async () => {
  const { agent } = await bed.takingMachine('earlier')
  const { location } = await agent.attest()
  expect(released(await agent.askForV(location)).encrypted_key).not.toBeNull()
  await pause()
  const opened = await agent.negotiate()
  expect(opened.status).toBe(201)
  expect(await agent.askForV(location)).toMatchObject({ status: 403 })
  const held = agent.askForV(String(opened.headers['location']))
  await sleep(50)
  expect((await agent.negotiate()).status).toBe(201)
  expect(await held).toMatchObject({ status: 403 })
  for (const index of ['7', '-1', 'x', '1e3', '9'.repeat(20)])
    expect((await agent.askForV(`/v3.0/agents/earlier/attestations/${index}`)).status).toBe(404)
})

test('a transport key that the quote does not bind fails the machine, and gets nothing', async () => {
  const { agent } = await bed.takingMachine('unbound')
  agent.takes!.bound = takingDelivery().transportKey
  const { location } = await agent.attest()
  expect(released(await agent.askForV(location))).toMatchObject({ evaluation: 'fail', encrypted_key: null })
  const { failures, v_released } = await bed.status('unbound')
  expect([failures[0].event_id, v_released]).toEqual(['pcr_validation.invalid_pcr_16', false])
})

test('a second transport key gets nothing, and the machine has failed', async () => {
  const { agent } = await bed.takingMachine('two-keys')
  expect(await agent.fetchV()).not.toBeNull()
  await pause()
  agent.takes = takingDelivery()
  const { location } = await agent.attest()
  expect(released(await agent.askForV(location)).encrypted_key).toBeNull()
  expect((await bed.status('two-keys')).failures[0].context.message).toContain('another transport key')
  await pause()
  await bed.admin.request('PUT', '/v2.6/agents/two-keys/reactivate')
  expect(await agent.fetchV()).toBeNull()
})

test.each([
  ['text', 'no key at all'],
  ['an elliptic key', '-----BEGIN PUBLIC KEY-----\nMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE\n-----END PUBLIC KEY-----\n'],
])('a transport key that is %s ends the delivery with a reason, never the verifier', async (what, key) => {
  const id = `odd-${what.split(' ').at(-1)}`
  const { agent } = await bed.takingMachine(id)
  agent.takes!.transportKey = key
  const { location } = await agent.attest()
  expect(released(await agent.askForV(location)).encrypted_key).toBeNull()
  expect((await bed.status(id)).failures[0].context.message).toContain('transport key')
})

test('after a command of the operator nothing of an earlier attestation counts', async () => {
  const { agent, ordered } = await bed.takingMachine('stopped')
  const { location } = await agent.attest()
  expect(released(await agent.askForV(location)).encrypted_key).not.toBeNull()
  expect((await bed.admin.request('PUT', '/v2.6/agents/stopped/stop')).status).toBe(200)
  expect(released(await agent.askForV(location)).encrypted_key).toBeNull()
  expect((await askFor(agent, 'delivery')).status).toBe(403)
  await bed.admin.request('PUT', '/v2.6/agents/stopped/reactivate')
  expect(released(await agent.askForV(location)).encrypted_key).toBeNull()
  expect(await agent.fetchV()).toEqual(ordered.v)
})

test.each(['deleted', 'updated'])('who waits for V while the enrolment is %s gets nothing', async (what) => {
  const { agent } = await bed.takingMachine(`held-${what}`)
  await agent.authenticate()
  const opened = await agent.negotiate()
  const held = agent.askForV(String(opened.headers['location']))
  await sleep(50)
  const at = `/v2.6/agents/${agent.id}`
  if (what === 'deleted') expect((await bed.admin.request('DELETE', at)).status).toBe(200)
  else expect((await bed.admin.request('PUT', at, { body: bed.ordered(agent.id).enrolment })).status).toBe(200)
  expect((await held).status).toBe(404)
})

test('a machine cannot say that it has what was not released to it, nor of another delivery', async () => {
  const { agent, ordered } = await bed.takingMachine('boasts')
  const [key, other] = [agent.takes!, bed.ordered('boasts')]
  key.report = ordered.report()
  await agent.attest()
  await bed.judged(agent)
  expect(await bed.status('boasts')).toMatchObject({ v_released: false })
  expect(await agent.mailbox()).toEqual(ordered.mailbox)
  for (const report of [other.report(), { ...ordered.report(), generation: 1 }, ordered.report({ proof: null })]) {
    await pause()
    key.report = report
    await agent.attest()
    await bed.judged(agent)
    expect(await bed.status('boasts')).toMatchObject({ v_released: false })
  }
  await pause()
  key.report = null
  expect(await agent.fetchV()).toEqual(ordered.v)
})

test('what a machine that failed says of its delivery is not believed', async () => {
  const { agent, ordered } = await bed.takingMachine('failed-report')
  expect(await agent.fetchV()).not.toBeNull()
  await pause()
  agent.takes!.report = ordered.report()
  const opened = await agent.negotiate()
  const location = String(opened.headers['location'])
  await agent.request('PATCH', location, agent.evidence(opened, Buffer.alloc(16, 9)), agent.token)
  expect(await bed.judged(agent)).toMatchObject({ evaluation: 'fail' })
  expect(await bed.status('failed-report')).toMatchObject({ v_released: false, delivery: { report: null } })
})

test.each<[string, object]>([
  ['no object', { data: 'x' }],
  ['a report of a state that is none', { data: { transport_key: null, report: { state: 'owned' } } }],
  ['a key that is too long', { data: { transport_key: 'A'.repeat(9000), report: null } }],
])('an item that is %s is none: the machine is judged by the rest, and gets nothing', async (what, item) => {
  const { agent } = await bed.takingMachine(what.replaceAll(' ', '-'))
  await agent.authenticate()
  const opened = await agent.negotiate()
  const location = String(opened.headers['location'])
  const evidence = JSON.parse(agent.evidence(opened))
  Object.assign(evidence.data.attributes.evidence_collected.at(-1), item)
  await agent.request('PATCH', location, evidence, agent.token)
  expect(released(await agent.askForV(location))).toMatchObject({ evaluation: 'pass', encrypted_key: null })
})

test('an item that nobody asked for is left aside', async () => {
  const agent = await bed.pushMachine('unasked', { v: Buffer.alloc(32, 3).toString('base64') })
  agent.takes = takingDelivery()
  await agent.authenticate()
  const opened = await agent.negotiate()
  expect(opened.body.data.attributes.evidence_requested).toHaveLength(1)
  const location = String(opened.headers['location'])
  const evidence = JSON.parse(agent.evidence(opened))
  const data = { transport_key: agent.takes.transportKey, report: null }
  evidence.data.attributes.evidence_collected.push({ evidence_class: 'keylime', evidence_type: 'keylime_delivery', data })
  await agent.request('PATCH', location, evidence, agent.token)
  expect(await agent.askForV(location)).toMatchObject(nothing)
  expect(await bed.status('unasked')).toMatchObject({ operational_state: 3, v_released: false })
})

walk(
  'of a flood of requests for V and for the mailbox one each is held, and the machine is served',
  async () => {
    const { agent, ordered } = await bed.takingMachine('flood', { plaintext: Buffer.alloc(1 << 20) })
    await agent.authenticate()
    const opened = await agent.negotiate()
    const location = String(opened.headers['location'])
    const asks = Array.from({ length: 500 }, () => agent.askForV(location).then(released))
    const reads = Array.from({ length: 50 }, () => agent.mailbox().catch(() => null))
    await until('all but one to be answered', async () => (await Promise.all(asks.slice(0, 300))).length)
    await agent.request('PATCH', location, agent.evidence(opened), agent.token)
    const answers = await Promise.all(asks)
    expect(answers.filter(({ evaluation }) => evaluation === 'pending').length).toBeGreaterThan(300)
    await Promise.all(reads)
    expect(await agent.mailbox()).toEqual(ordered.mailbox)
    expect(await agent.fetchV()).toEqual(ordered.v)
  },
  60_000,
)

test('no file of the verifier ever has U, K or what was sealed', async () => {
  const { agent, ordered } = await bed.takingMachine('secrets', { plaintext: Buffer.from('the secret of this payload'.repeat(20)) })
  await agent.authenticate()
  await agent.mailbox()
  await agent.fetchV()
  const secrets = [ordered.k, ordered.u, ordered.plaintext.subarray(0, 26)]
  const files = () =>
    bed.directories
      .flatMap((directory) => fs.readdirSync(directory, { recursive: true, withFileTypes: true }))
      .filter((entry) => entry.isFile())
      .map((entry) => fs.readFileSync(path.join(entry.parentPath, entry.name)))
  expect(files().some((bytes) => holds(bytes, ordered.v))).toBe(true) // the search can find
  for (const secret of secrets) expect(files().some((bytes) => holds(bytes, secret))).toBe(false)
  await pause()
  agent.takes!.report = ordered.report()
  await agent.attest()
  await until('the end of V', async () => (await bed.status('secrets')).v_released)
  for (const secret of secrets) expect(files().some((bytes) => holds(bytes, secret))).toBe(false)
})
