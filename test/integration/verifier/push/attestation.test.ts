import { randomBytes } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import { PushBed } from '../../../push-bed.ts'
import { until } from '../../../servers.ts'
import { walk } from '../../../thorough.ts'

const bed = new PushBed({ KEYLIME_VERIFIER_MAX_RETRIES: '2', KEYLIME_VERIFIER_RETRY_INTERVAL: '0.1' })
beforeAll(() => bed.start())
afterAll(() => bed.stop())

test.each(['rsa', 'ecc'] as const)(
  'a machine with a key of %s proves itself again and again, and its V stays where it is',
  async (type) => {
    const agent = await bed.pushMachine(`good-${type}`, { v: randomBytes(32).toString('base64') }, type)
    for (let i = 1; i <= 3; i++) {
      await agent.attest()
      expect(await bed.judged(agent)).toMatchObject({ evaluation: 'pass', failure_reason: null })
      await sleep(60) // the interval
    }
    await until('the counters', async () => (await bed.status(agent.id)).attestation_count === 3)
    expect(await bed.status(agent.id)).toMatchObject({
      operational_state: 3,
      attestation_status: 'PASS',
      failures: [],
      v: null,
      v_released: false,
      ip: null,
      port: null,
      comes_by: 'push',
      accept_attestations: true,
      hash_alg: 'sha256',
    })
  },
)

test('it is asked for every bank that it offered, for PCR 16 and for those of its policy, and for no log that nobody reads', async () => {
  const agent = await bed.pushMachine('asked', { tpm_policy: '{"mask":"0x8001"}' })
  await agent.authenticate()
  const { status, body, headers } = await agent.negotiate()
  expect([status, headers['content-type']]).toEqual([201, expect.stringContaining('application/vnd.api+json')])
  expect(headers['location']).toBe('/v3.0/agents/asked/attestations/0')
  const [quote, ...logs] = body.data.attributes.evidence_requested
  expect(logs).toEqual([])
  expect(quote.chosen_parameters).toMatchObject({
    signature_scheme: 'ecdsa',
    hash_algorithm: 'sha256',
    selected_subjects: { sha1: null, sha256: [0, 15, 16] },
  })
  expect(Buffer.from(quote.chosen_parameters.challenge, 'base64')).toHaveLength(16)
})

test('one verifier asks some machines and waits for others', async () => {
  const asked = await bed.machine()
  await bed.add('pulled', asked)
  const agent = await bed.pushMachine('pushed')
  await agent.attest()
  await bed.inState('pulled', 3)
  await bed.inState('pushed', 3)
  expect(await bed.status('pulled')).toMatchObject({ ip: '127.0.0.1', port: asked.port, comes_by: 'pull' })
})

test('a machine that fails is told so, and brings nothing until it is reactivated', async () => {
  const agent = await bed.pushMachine('tampered', { tpm_policy: JSON.stringify({ 15: ['0'.repeat(64)], mask: '0x8000' }) })
  agent.pcrs.set(15, Buffer.alloc(32, 1))
  await agent.attest()
  expect(await bed.judged(agent)).toMatchObject({ evaluation: 'fail', failure_reason: 'policy_violation' })
  expect(await bed.status(agent.id)).toMatchObject({
    operational_state: 9,
    last_event_id: 'pcr_validation.invalid_pcr_15',
    accept_attestations: false,
  })
  const refused = await agent.negotiate()
  expect([refused.status, refused.body.errors[0].code]).toEqual([403, 'agent_attestations_disabled'])
  expect(refused.body.errors[0].detail).toContain('pcr_validation.invalid_pcr_15')
  const { results } = await bed.admin.request('GET', `/v2.6/agents/${agent.id}/explanation?evidence=1`)
  expect(JSON.stringify(results)).toContain('invalid_pcr_15')
  agent.pcrs.delete(15)
  expect(await bed.admin.request('PUT', `/v2.6/agents/${agent.id}/reactivate`, { body: {} })).toMatchObject({ status: 200 })
  await agent.attest()
  await bed.inState(agent.id, 3)
})

test('a machine that an operator stopped brings nothing', async () => {
  const agent = await bed.pushMachine('stopped')
  await agent.attest()
  await bed.inState(agent.id, 3)
  await bed.admin.request('PUT', `/v2.6/agents/${agent.id}/stop`, { body: {} })
  const { status, body } = await agent.negotiate()
  expect([status, body.errors[0].detail]).toEqual([403, expect.stringContaining('an operator stopped')])
})

test('silence is unreachable, is no distrust, and ends with the next good evidence', async () => {
  const agent = await bed.pushMachine('silent')
  await agent.attest()
  await bed.inState(agent.id, 3)
  await bed.inState(agent.id, 7)
  expect(await bed.status(agent.id)).toMatchObject({ attestation_status: 'TIMEOUT', last_event_id: 'internal.verifier.not_reachable' })
  const told = JSON.stringify((await bed.admin.request('GET', '/v2.6/revocations')).results)
  expect(told).not.toContain(agent.id)
  agent.token = null
  await agent.attest()
  await bed.inState(agent.id, 3)
  expect(await bed.status(agent.id)).toMatchObject({ attestation_status: 'PASS', failures: [] })
})

walk('a machine that cannot prove what it must is told which member is meant, and its silence says so', async () => {
  const agent = await bed.pushMachine('other-bank')
  await agent.authenticate()
  const { status, body } = await agent.negotiate(agent.offer({ available_subjects: { sha1: [0, 16] } }))
  expect(status).toBe(422)
  expect(body.errors).toMatchObject([
    {
      status: '422',
      code: 'invalid_resource_data',
      source: { pointer: '/data/attributes/evidence_supported/0/capabilities/available_subjects' },
    },
  ])
  await bed.inState(agent.id, 7)
  expect((await bed.status(agent.id)).failures[0].context.message).toContain('PCR 16 of bank sha256 is needed')
})

test('the same evidence again gets the same answer: a lost one costs nothing, and is judged once', async () => {
  const agent = await bed.pushMachine('lossy')
  const { location, body, answer } = await agent.attest()
  await bed.judged(agent)
  const again = await agent.request('PATCH', location, body, agent.token)
  expect([again.status, again.body.meta]).toEqual([202, answer.body.meta])
  expect((await bed.status(agent.id)).attestation_count).toBe(1)
  const other = await agent.request('PATCH', location, `${body} `, agent.token)
  expect([other.status, other.body.errors[0].code]).toEqual([403, 'evidence_immutable'])
})

test('a verifier that was restarted in the middle asks for a new proof, and goes on', async () => {
  const agent = await bed.pushMachine('restarted')
  await agent.attest()
  await bed.inState(agent.id, 3)
  const opened = await until('the next attestation', async () => {
    const answer = await agent.negotiate()
    return answer.status === 201 ? answer : undefined
  })
  await bed.restart()
  const evidence = agent.evidence(opened)
  const location = String(opened.headers['location'])
  expect((await agent.request('PATCH', location, evidence, agent.token)).status).toBe(401)
  await agent.authenticate()
  const late = await agent.request('PATCH', location, evidence, agent.token)
  expect([late.status, late.body.errors[0].code]).toEqual([404, 'not_found'])
  await agent.attest()
  await until('another attestation', async () => (await bed.status(agent.id)).attestation_count === 2)
})

test('a machine that was rebooted is judged from the first entry, by the clock of its TPM alone', async () => {
  const agent = await bed.pushMachine('rebooted')
  await agent.attest()
  await bed.judged(agent)
  Object.assign(agent.clock, { value: 1n, resetCount: 2 })
  await sleep(60) // the interval
  await agent.attest()
  await until('it to pass', async () => (await bed.status(agent.id)).attestation_count === 2)
})

test('the next attestation is not due at once', async () => {
  const slow = new PushBed({ KEYLIME_VERIFIER_QUOTE_INTERVAL: '30' })
  await slow.start()
  try {
    const agent = await slow.pushMachine('eager')
    const { answer } = await agent.attest()
    expect(answer.body.meta.seconds_to_next_attestation).toBe(30)
    await slow.judged(agent)
    const { status, body, headers } = await agent.negotiate()
    expect([status, body.errors[0].code]).toEqual([429, 'premature_attestation'])
    expect(Number(headers['retry-after'])).toBeGreaterThan(25)
  } finally {
    await slow.stop()
  }
})

test('with auto_recover_attestation_failures a good attestation clears a failure', async () => {
  const kind = new PushBed({ KEYLIME_VERIFIER_AUTO_RECOVER_ATTESTATION_FAILURES: 'true' })
  await kind.start()
  try {
    const agent = await kind.pushMachine('mended', { tpm_policy: JSON.stringify({ 15: ['0'.repeat(64)], mask: '0x8000' }) })
    agent.pcrs.set(15, Buffer.alloc(32, 1))
    await agent.attest()
    await kind.judged(agent)
    agent.pcrs.delete(15)
    await sleep(60) // the interval
    await agent.attest()
    await kind.inState(agent.id, 3)
  } finally {
    await kind.stop()
  }
})
