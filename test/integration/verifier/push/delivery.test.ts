import { setTimeout as sleep } from 'node:timers/promises'
import { PushBed } from '../../../push-bed.ts'
import { until } from '../../../servers.ts'
import { pushEnrolment, released, takingDelivery } from '../../../simulated-push-agent.ts'

const bed = new PushBed({ KEYLIME_VERIFIER_MAILBOX_MAX_SIZE: String(4 << 20), KEYLIME_VERIFIER_MAILBOX_TOTAL_SIZE: String(9 << 20) })
beforeAll(() => bed.start())
afterAll(() => bed.stop())

const pause = () => sleep(60) // the interval

test('a machine gets what was ordered for it, V after a passed verdict, and proves it; then nothing of it lies at the verifier', async () => {
  const { agent, ordered } = await bed.takingMachine('takes')
  await agent.authenticate()
  expect(await agent.mailbox()).toEqual(ordered.mailbox)
  expect(await agent.fetchV()).toEqual(ordered.v)
  const { enrolment, generation } = ordered.order
  expect(agent.takes!.asked).toEqual({ enrolment, generation })
  expect(await bed.status('takes')).toMatchObject({ v_released: false, delivery: { enrolment, generation, report: null } })
  await pause()
  agent.takes!.report = ordered.report({ script: 'running' })
  await agent.attest()
  await until('the end of V', async () => (await bed.status('takes')).v_released)
  expect(await bed.status('takes')).toMatchObject({ delivery: { report: { script: 'running', files: 2, proof: ordered.proof } } })
  await expect(agent.mailbox()).rejects.toThrow('404')
  await pause()
  agent.takes!.report = ordered.report({ script: 'done', script_exit: 0 })
  await agent.attest()
  expect(agent.takes!.asked).not.toBeNull()
  await until('the end of the script', async () => (await bed.status('takes')).delivery.report.script === 'done')
  await pause()
  expect(await agent.fetchV()).toBeNull()
  expect(agent.takes!.asked).toBeNull()
  expect(await bed.status('takes')).toMatchObject({ operational_state: 3, failures: [] })
})

test('a lost answer is given again to the same key, also by another attestation and after a restart', async () => {
  const { agent, ordered } = await bed.takingMachine('again')
  expect(await agent.fetchV()).toEqual(ordered.v)
  await pause()
  const { location } = await agent.attest()
  const [first, second] = [released(await agent.askForV(location)), released(await agent.askForV(location))]
  expect(second).toEqual(first)
  await bed.restart()
  agent.token = null
  expect(await agent.fetchV()).toEqual(ordered.v)
})

test('a key alone is delivered, and a payload of several pieces comes whole', async () => {
  const key = await bed.takingMachine('key-only', { plaintext: null })
  await key.agent.authenticate()
  expect(await key.agent.mailbox()).toEqual(key.ordered.mailbox)
  const large = await bed.takingMachine('large', { plaintext: Buffer.alloc(2 << 20, 'é') })
  await large.agent.authenticate()
  expect(await large.agent.mailbox()).toEqual(large.ordered.mailbox)
})

test('a machine that knows no deliveries is not asked for one, and attested all the same', async () => {
  const agent = bed.stranger('plain')
  await bed.enrol(agent, bed.ordered('plain').enrolment)
  const { location } = await agent.attest()
  expect(await bed.judged(agent)).toMatchObject({ evaluation: 'pass' })
  expect(released(await agent.askForV(location))).toMatchObject({ evaluation: 'pass', encrypted_key: null })
})

test('a session tells a machine that this verifier has deliveries', async () => {
  const { agent } = await bed.takingMachine('told')
  expect((await agent.authenticate()).body.data.attributes.extensions).toMatchObject({ delivery: 1 })
})

test('an order that the machine refuses is told, V and mailbox stay, and it is asked again', async () => {
  const { agent, ordered } = await bed.takingMachine('refuses')
  const [shown, error] = [agent.takes!.transportKey, 'the order is of nobody that this machine trusts']
  agent.takes!.report = ordered.report({ state: 'refused', files: 0, error, proof: null })
  await agent.attest()
  await until('the refusal', async () => (await bed.status('refuses')).delivery.report?.state === 'refused')
  const { results } = (await bed.admin.request('GET', '/v2.6/history?agent=refuses')) as { results: unknown }
  expect(JSON.stringify(results)).toContain('delivery_refused')
  expect(await bed.status('refuses')).toMatchObject({ v_released: false, delivery: { report: { error } } })
  expect(await agent.mailbox()).toEqual(ordered.mailbox)
  await pause()
  agent.takes!.report = null
  expect(agent.takes!.transportKey).toBe(shown)
  expect(await agent.fetchV()).toEqual(ordered.v)
})

describe('an update', () => {
  const update = (id: string, body: object) => bed.admin.request('PUT', `/v2.6/agents/${id}`, { body })

  test('without a payload keeps the mailbox of the same TPM', async () => {
    const { agent, ordered } = await bed.takingMachine('kept')
    expect((await update('kept', { tpm_policy: '{"mask":"0x1"}' })).status).toBe(200)
    expect(await agent.fetchV()).toEqual(ordered.v)
    expect(await agent.mailbox()).toEqual(ordered.mailbox)
  })

  test('with another payload puts another mailbox in its place', async () => {
    const { agent } = await bed.takingMachine('replaced')
    await agent.fetchV()
    const other = bed.ordered('replaced')
    expect((await update('replaced', other.enrolment)).status).toBe(200)
    expect(await agent.fetchV()).toEqual(other.v)
    expect(await agent.mailbox()).toEqual(other.mailbox)
  })

  test.each([
    ['another TPM', () => ({ ak_tpm: bed.stranger('x').ak.public.toString('base64') })],
    ['another V without a mailbox', () => ({ v: Buffer.alloc(32, 1).toString('base64') })],
  ])('to %s ends it', async (what, changes) => {
    const id = what.replaceAll(' ', '-')
    await bed.takingMachine(id)
    expect((await update(id, changes())).status).toBe(200)
    expect((await bed.status(id)).delivery).toBeNull()
  })

  test('to another TPM says that what waited for the one before is erased; where nothing is lost it says nothing', async () => {
    const ak_tpm = () => bed.stranger('x').ak.public.toString('base64')
    const warned = async (id: string, body: object) => JSON.stringify((await update(id, body)).results ?? null)
    const history = async (id: string) => JSON.stringify((await bed.admin.request('GET', `/v2.6/history?agent=${id}`)).results)
    const { ordered } = await bed.takingMachine('drops')
    expect(await warned('drops', { ak_tpm: ak_tpm() })).toMatch(/waited for the machine is erased/)
    expect(await history('drops')).toMatch(new RegExp(`delivery_dropped.*${ordered.order.enrolment}`))
    await bed.pushMachine('drops-v', { v: Buffer.alloc(32, 1).toString('base64') })
    expect(await warned('drops-v', { ak_tpm: ak_tpm() })).toMatch(/waited for the machine is erased/)
    await bed.takingMachine('keeps')
    for (const body of [{ tpm_policy: '{"mask":"0x1"}' }, { ak_tpm: ak_tpm(), ...bed.ordered('keeps').enrolment }])
      expect(await warned('keeps', body)).not.toContain('erased')
    expect(await history('keeps')).not.toContain('delivery_dropped')
  })

  test('with an order that is not newer is refused, and everything stays', async () => {
    const { agent, ordered } = await bed.takingMachine('older')
    const older = bed.ordered('older', { changes: { generation: ordered.order.generation } })
    expect(await update('older', older.enrolment)).toMatchObject({ status: 409 })
    expect(await agent.fetchV()).toEqual(ordered.v)
    expect(await agent.mailbox()).toEqual(ordered.mailbox)
  })
})

describe('an enrolment is refused, and nothing of it is stored', () => {
  const other = Buffer.from('other').toString('base64')
  test.each<[string, number, (id: string) => Record<string, unknown>]>([
    ['without V', 400, (id) => ({ ...bed.ordered(id).enrolment, v: null })],
    ['of another machine', 403, () => bed.ordered('another').enrolment],
    ['with another share', 403, (id) => ({ ...bed.ordered(id).enrolment, delivery: { ...bed.ordered(id).mailbox, share: other } })],
    ['with another payload', 403, (id) => ({ ...bed.ordered(id).enrolment, delivery: { ...bed.ordered(id).mailbox, payload: other } })],
    ['without its payload', 403, (id) => ({ ...bed.ordered(id).enrolment, delivery: { ...bed.ordered(id).mailbox, payload: null } })],
    ['with a wrong signature', 403, (id) => ({ ...bed.ordered(id).enrolment, delivery: { ...bed.ordered(id).mailbox, signature: other } })],
    [
      'with a share that is too long',
      400,
      (id) => ({ ...bed.ordered(id).enrolment, delivery: { ...bed.ordered(id).mailbox, share: 'A'.repeat(99_999) } }),
    ],
    ['with a payload that is too large', 413, (id) => bed.ordered(id, { plaintext: Buffer.alloc(4 << 20) }).enrolment],
  ])('%s', async (what, status, changes) => {
    const id = what.replaceAll(' ', '-')
    const body = pushEnrolment(bed.stranger(id), changes(id))
    const { results } = (await bed.admin.request('POST', `/v2.6/enrolments/${id}/check`, { body })) as { results: { refused: unknown } }
    expect(status === 400 ? results : results.refused).not.toBeNull()
    expect(await bed.admin.request('POST', `/v2.6/agents/${id}`, { body })).toMatchObject({ status })
    expect((await bed.admin.request('GET', `/v2.6/agents/${id}`)).status).toBe(404)
  })

  test('beyond what all mailboxes may have together; one that is emptied makes room', async () => {
    const large = { plaintext: Buffer.alloc(2.9 * 1024 * 1024) }
    const first = await bed.takingMachine('room-1', large)
    const agent = bed.stranger('room-2')
    agent.takes = takingDelivery()
    const body = pushEnrolment(agent, bed.ordered('room-2', large).enrolment)
    const refused = await bed.admin.request('POST', '/v2.6/agents/room-2', { body })
    expect(refused).toMatchObject({ status: 413, message: expect.stringContaining('mailbox_total_size') })
    expect(await first.agent.fetchV()).toEqual(first.ordered.v)
    await pause()
    first.agent.takes!.report = first.ordered.report()
    await first.agent.attest()
    await until('an empty mailbox', async () => (await bed.status('room-1')).v_released)
    expect((await bed.admin.request('POST', '/v2.6/agents/room-2', { body })).status).toBe(200)
    expect((await bed.admin.request('DELETE', '/v2.6/agents/room-2')).status).toBe(200)
    expect((await bed.admin.request('POST', '/v2.6/agents/room-2', { body })).status).toBe(200)
  })
})
