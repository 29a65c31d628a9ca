import { randomBytes } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import { until } from '../../servers.ts'
import type { SimulatedAgent } from '../../simulated-agent.ts'
import { runs, walk } from '../../thorough.ts'
import { VerifierBed } from '../../verifier-bed.ts'

const bed = new VerifierBed({
  KEYLIME_VERIFIER_RETRY_INTERVAL: '0.1',
  KEYLIME_VERIFIER_EXPONENTIAL_BACKOFF: 'false',
  KEYLIME_VERIFIER_MAX_RETRIES: '3',
  KEYLIME_VERIFIER_REQUEST_TIMEOUT: '2',
})
beforeAll(() => bed.start())
afterEach(() => bed.retire())
afterAll(() => bed.stop())

const machine = () => bed.machine()
const add = (id: string, agent: SimulatedAgent, changes: Record<string, unknown> = {}) => bed.add(id, agent, changes)
const status = (id: string) => bed.status(id)
const inState = (id: string, state: number) => bed.inState(id, state)

test('an agent that proves itself gets V, once, and is attested on', async () => {
  const [agent, v] = [await machine(), randomBytes(32)]
  expect(await add('good', agent, { v: v.toString('base64') })).toMatchObject({ status: 200 })
  await until('ten attestations', async () => (await status('good')).attestation_count >= 10)
  expect(agent.received).toEqual([v])
  expect(await status('good')).toMatchObject({
    operational_state: 3,
    attestation_status: 'PASS',
    v: null,
    v_released: true,
    hash_alg: 'sha256',
    failures: [],
  })
  expect(new Set(agent.quotes.map((q) => q.nonce)).size).toBe(agent.quotes.length)
  expect(agent.quotes[0]!.partial).toBe('0')
  expect(agent.quotes.at(-1)!.partial).toBe('1')
})

test('a PCR that changes fails the agent with the reason, and nobody asks it again until it is reactivated', async () => {
  const agent = await machine()
  await add('tampered', agent, { tpm_policy: JSON.stringify({ 15: ['0'.repeat(64)], mask: '0x8000' }) })
  await inState('tampered', 3)
  agent.pcrs.set(15, Buffer.alloc(32, 1))
  await inState('tampered', 9)
  const failed = await status('tampered')
  expect(failed).toMatchObject({ last_event_id: 'pcr_validation.invalid_pcr_15', severity_level: 6, attestation_status: 'FAIL' })
  expect(failed.failures[0].context).toMatchObject({ pcr: 15, got: '01'.repeat(32), expected: ['0'.repeat(64)] })
  const asked = agent.quotes.length
  await sleep(400)
  expect(agent.quotes.length).toBe(asked)
  agent.pcrs.delete(15)
  await bed.admin.request('PUT', '/v2.6/agents/tampered/reactivate', { body: {} })
  await inState('tampered', 3)
})

test('an agent that fails its first quote never gets V', async () => {
  const agent = await machine()
  agent.pcrs.set(16, Buffer.alloc(32, 7))
  await add('liar', agent, { v: randomBytes(32).toString('base64') })
  await inState('liar', 9)
  expect(agent.received).toEqual([])
  expect((await status('liar')).last_event_id).toBe('pcr_validation.invalid_pcr_16')
})

test('an agent that takes every connection and drops it is unreachable, never silently forgotten', async () => {
  const agent = await machine()
  await add('dropper', agent)
  await inState('dropper', 3)
  let dropped = 0
  agent.answer.set('/quotes/integrity', () => {
    dropped++
    return 'drop'
  })
  await inState('dropper', 7)
  expect((await status('dropper')).last_event_id).toBe('internal.verifier.not_reachable')
  const before = dropped
  await until('more tries', () => dropped > before)
  agent.answer.clear()
  await inState('dropper', 3)
})

test('an unreachable agent is tried again, then reported as unreachable, and found again when it comes back', async () => {
  const agent = await machine()
  await add('silent', agent)
  await inState('silent', 3)
  await agent.stop()
  await inState('silent', 4)
  await inState('silent', 7)
  expect((await status('silent')).last_event_id).toBe('internal.verifier.not_reachable')
  await agent.start()
  await inState('silent', 3)
  expect((await status('silent')).failures).toEqual([])
})

test('an agent that answers with an error is failed without retries', async () => {
  const agent = await machine()
  agent.answer.set('/quotes/integrity', () => ({ status: 403, body: '{"code":403,"status":"no","results":{}}' }))
  await add('refuser', agent)
  await inState('refuser', 7)
  expect(await status('refuser')).toMatchObject({ last_event_id: 'internal.verifier.no_quote' })
})

test('V is sent again, to the same key and after a fresh quote, when its first delivery was not answered', async () => {
  const [agent, v] = [await machine(), randomBytes(32)]
  let first = true
  agent.answer.set('/keys/vkey', () => {
    if (!first) return { status: 200, body: '{"code":200,"status":"Success","results":{}}' }
    first = false
    return 'drop'
  })
  await add('lossy', agent, { v: v.toString('base64') })
  await until('V confirmed', async () => (await status('lossy')).v_released)
  expect(agent.received).toEqual([v, v])
  expect(agent.quotes.length).toBeGreaterThanOrEqual(2)
})

test('V goes to no second transport key once it may have been sent', async () => {
  const agent = await machine()
  agent.answer.set('/keys/vkey', () => {
    agent.newTransportKey()
    return 'drop'
  })
  await add('swapper', agent, { v: randomBytes(32).toString('base64') })
  await inState('swapper', 7)
  expect((await status('swapper')).last_event_id).toBe('internal.verifier.no_v')
  expect(agent.received.length).toBe(1)
})

test('an older API version is negotiated when the agent does not know the stored one', async () => {
  const agent = await machine()
  agent.answer.set('/quotes/integrity', (query, honest) =>
    agent.quotes.at(-1)!.path.startsWith('/v2.6') && query
      ? { status: 400, body: '{"code":400,"status":"API version not supported: v2.6","results":{}}' }
      : { status: 200, body: JSON.stringify({ results: honest }) },
  )
  agent.answer.set('/version', () => ({ status: 200, body: '{"results":{"supported_version":"2.5"}}' }))
  await add('older', agent)
  await inState('older', 3)
  expect(agent.quotes.at(-1)!.path).toBe('/v2.5/quotes/integrity')
})

test('another certificate at the agent’s address is not talked to', async () => {
  const [agent, other] = [await machine(), await machine()]
  await add('pinned', agent, { cloudagent_port: other.port })
  await inState('pinned', 4)
  expect(other.quotes).toEqual([])
})

test('a restart keeps every agent, every verdict and the fact that V was released', async () => {
  const [agent, liar, v] = [await machine(), await machine(), randomBytes(32)]
  liar.pcrs.set(16, Buffer.alloc(32, 7))
  await add('lied', liar)
  await inState('lied', 9)
  await add('kept', agent, { v: v.toString('base64') })
  await until('V confirmed', async () => (await status('kept')).v_released)
  const before = (await status('kept')).attestation_count
  await bed.restart()
  await until('attestations go on', async () => (await status('kept')).attestation_count > before)
  expect(agent.received).toEqual([v])
  expect((await status('lied')).operational_state).toBe(9)
})

walk('a machine that hangs every request holds up no other', async () => {
  const hanging = await machine()
  hanging.answer.set('/quotes/integrity', () => 'hang')
  for (let i = 0; i < runs(150, 50); i++) await add(`hang-${i}`, hanging)
  const agent = await machine()
  await add('quick', agent)
  await until('five attestations', async () => (await status('quick')).attestation_count >= 5, 5)
})

test('delete, stop and reactivate answer for known and unknown agents', async () => {
  const agent = await machine()
  await add('short', agent)
  expect(await bed.admin.request('PUT', '/v2.6/agents/short/stop', { body: {} })).toMatchObject({ status: 200 })
  await inState('short', 10)
  expect(await add('short', agent)).toMatchObject({ status: 409 })
  expect(await bed.admin.request('DELETE', '/v2.6/agents/short')).toMatchObject({ status: 200 })
  expect(await bed.admin.request('GET', '/v2.6/agents/short')).toMatchObject({ status: 404, message: 'agent id not found' })
  expect(await bed.admin.request('DELETE', '/v2.6/agents/short')).toMatchObject({ status: 404 })
})

test.each([
  ['no AK', { ak_tpm: '' }],
  ['a key that is no AK', { ak_tpm: 'AAAA' }],
  ['PCR 16 in the policy', { tpm_policy: '{"16":"00"}' }],
  ['a policy that is no JSON', { tpm_policy: '{' }],
  ['a share of 31 bytes', { v: Buffer.alloc(31).toString('base64') }],
  ['IMA keys that are no keyring', { ima_sign_verification_keys: '{}' }],
  ['no certificate', { mtls_cert: 'disabled' }],
  ['a certificate that is none', { mtls_cert: 'x' }],
  ['no runtime_policy field', { runtime_policy: undefined }],
])('an enrolment with %s is refused and stores nothing', async (_name, changes) => {
  const agent = bed.machines[0]!
  expect((await add('refused', agent, changes)).status).toBe(400)
  expect(await bed.admin.request('GET', '/v2.6/agents/refused')).toMatchObject({ status: 404 })
})
