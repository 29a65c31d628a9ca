import { until } from '../../servers.ts'
import { SharedBed } from '../../shared-bed.ts'

/** What machines were to be told that are deleted, where verifiers may share a database. */
const bed = new SharedBed()
/** Whether machines take notices. */
let isBusy = true
const told: string[] = []

beforeAll(async () => {
  await bed.start(1)
  for (const id of ['gone', 'again', 'liar']) {
    const machine = await bed.machine(id)
    machine.answer.set('/notifications/revocation', () => {
      if (!isBusy) told.push(id)
      const code = isBusy ? 503 : 200
      return { status: code, body: JSON.stringify({ code, status: '', results: {} }) }
    })
    expect(await bed.add(id, bed.sides[0]!)).toBe(200)
    await bed.inState(id, 3)
  }
})
afterAll(() => bed.stop())

const stateOf = async (target: string) =>
  (
    await bed.server.query<{ state: string; attempts: number; last_error: string }>(
      `select state, attempts, last_error from keylime_verifier.deliveries where target = '${target}'`,
    )
  )[0]

test('a notice to a machine that is deleted is given up; one that is added again is told what is pending for it', async () => {
  const { admin } = bed.sides[0]!
  expect((await admin.request('PUT', '/v2.6/agents/liar/revoke')).status).toBe(200)
  for (const id of ['gone', 'again']) await until(`a try of ${id}`, async () => Number((await stateOf(`agent:${id}`))?.attempts) >= 2, 20)
  for (const id of ['gone', 'again']) expect((await admin.request('DELETE', `/v2.6/agents/${id}`)).status).toBe(200)
  for (const id of ['gone', 'again'])
    await until(`${id} to be given up`, async () => (await stateOf(`agent:${id}`))?.state === 'given_up', 20)
  expect(await stateOf('agent:gone')).toMatchObject({ last_error: 'it is not enrolled any more' })
  // as a verifier leaves it that is stopped before it has given up
  await bed.server.query(`update keylime_verifier.deliveries set state = 'pending' where target = 'agent:again'`)
  isBusy = false
  expect(await bed.add('again', bed.sides[0]!)).toBe(200)
  await until('the notice', async () => (await stateOf('agent:again'))?.state === 'told', 20)
  expect(told).toEqual(['again'])
})
