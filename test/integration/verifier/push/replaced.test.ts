import { PushBed } from '../../../push-bed.ts'
import type { SimulatedPushAgent } from '../../../simulated-push-agent.ts'
import { pushEnrolment } from '../../../simulated-push-agent.ts'

const bed = new PushBed()
beforeAll(() => bed.start())
afterAll(() => bed.stop())

/** A thief hides his key: the enrolled one is another by now. */
const hidden = (thief: SimulatedPushAgent) => {
  const key = {
    key_class: 'asymmetric',
    key_algorithm: 'ecc',
    key_size: 256,
    server_identifier: 'ak',
    local_identifier: null,
    public: null,
  }
  return thief.offer({ certification_keys: [key] })
}

const NOTHING = { data: { type: 'attestation', attributes: { evidence_collected: [] } } }

test.each(['deleted and enrolled anew', 'updated to another key'])(
  'the token of a machine speaks for no other one: its id was %s',
  async (way) => {
    const id = way.split(' ')[0]!
    const thief = await bed.pushMachine(id)
    await thief.attest()
    await bed.judged(thief)
    const heir = bed.stranger(id)
    if (id === 'updated') expect((await bed.admin.request('PUT', `/v2.6/agents/${id}`, { body: pushEnrolment(heir) })).status).toBe(200)
    else {
      await bed.admin.request('DELETE', `/v2.6/agents/${id}`)
      await bed.enrol(heir)
    }
    expect((await thief.negotiate(hidden(thief))).status).toBe(401)
    expect((await thief.request('PATCH', `/v3.0/agents/${id}/attestations/latest`, NOTHING, thief.token)).status).toBe(401)
    await heir.attest()
    expect(await bed.judged(heir)).toMatchObject({ evaluation: 'pass' })
    expect((await bed.status(id)).failures).toEqual([])
  },
)

test('the token of a machine that was updated under the same key goes on', async () => {
  const agent = await bed.pushMachine('same-key')
  await agent.attest()
  await bed.judged(agent)
  await bed.admin.request('PUT', '/v2.6/agents/same-key', { body: pushEnrolment(agent, { tpm_policy: '{"mask":"0x1"}' }) })
  expect((await agent.negotiate()).status).toBe(201)
})
