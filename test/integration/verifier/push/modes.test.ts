import { PushBed } from '../../../push-bed.ts'
import { enrolmentBody } from '../../../simulated-agent.ts'
import { pushEnrolment } from '../../../simulated-push-agent.ts'

async function withMode(mode: string, work: (bed: PushBed) => Promise<void>): Promise<void> {
  const bed = new PushBed({ KEYLIME_VERIFIER_MODE: mode })
  await bed.start()
  try {
    await work(bed)
  } finally {
    await bed.stop()
  }
}

test('mode = pull refuses machines without an address, and opens no sessions', () =>
  withMode('pull', async (bed) => {
    const agent = bed.stranger('pushed')
    const answer = await bed.admin.request('POST', '/v2.6/agents/pushed', { body: pushEnrolment(agent) })
    expect(answer).toMatchObject({ status: 400, message: expect.stringContaining('no address') })
    expect((await agent.request('POST', '/v3.0/sessions', {})).status).toBe(403)
    expect((await agent.request('POST', '/v3.0/agents/pushed/attestations', {})).status).toBe(403) // no 401: agents prove themselves again at once then
    const asked = await bed.machine()
    expect(await bed.add('asked', asked)).toMatchObject({ status: 200 })
    await bed.inState('asked', 3)
  }))

test('mode = push leaves addresses aside', () =>
  withMode('push', async (bed) => {
    const agent = await bed.pushMachine('pushed', { cloudagent_ip: '192.0.2.1', cloudagent_port: 9002 })
    expect(await bed.status(agent.id)).toMatchObject({ comes_by: 'push', ip: null, port: null })
    await agent.attest()
    await bed.inState(agent.id, 3)
  }))

test.each([
  ['no address', { cloudagent_ip: undefined, cloudagent_port: undefined }],
  ['null', {}],
  ['an empty one', { cloudagent_ip: '' }],
  ['one, and push_model', { cloudagent_ip: '192.0.2.1', cloudagent_port: 9002, push_model: true }],
])('mode = both: an enrolment with %s is that of a machine that brings its evidence', (_what, changes) =>
  withMode('both', async (bed) => {
    const agent = await bed.pushMachine('a', changes)
    expect(await bed.status('a')).toMatchObject({ comes_by: 'push', ip: null })
    await agent.attest()
    await bed.inState('a', 3)
  }),
)

test('an address without a port is refused', () =>
  withMode('both', async (bed) => {
    const body = pushEnrolment(bed.stranger('a'), { cloudagent_ip: '192.0.2.1' })
    expect(await bed.admin.request('POST', '/v2.6/agents/a', { body })).toMatchObject({
      status: 400,
      message: expect.stringContaining('cloudagent_port'),
    })
  }))

test('a machine that has not taken its payload is not switched to a way in which it never would', () =>
  withMode('both', async (bed) => {
    const body = { ...enrolmentBody(await bed.machine()), cloudagent_port: 1, v: Buffer.alloc(32, 7).toString('base64') }
    expect(await bed.admin.request('POST', '/v2.6/agents/off', { body })).toMatchObject({ status: 200 })
    const switched = { push_model: true, cloudagent_ip: null, cloudagent_port: null }
    const refused = await bed.admin.request('PUT', '/v2.6/agents/off', { body: switched })
    expect(refused).toMatchObject({ status: 409, message: expect.stringContaining('has not taken its payload yet') })
    expect(await bed.status('off')).toMatchObject({ comes_by: 'pull' })
    expect(await bed.admin.request('PUT', '/v2.6/agents/off', { body: { ...switched, v: null } })).toMatchObject({ status: 200 })
    expect(await bed.status('off')).toMatchObject({ comes_by: 'push' })
  }))
