import { PushBed } from '../../push-bed.ts'
import { until } from '../../servers.ts'

const bed = new PushBed({
  KEYLIME_VERIFIER_RETRY_INTERVAL: '0.05',
  KEYLIME_VERIFIER_EXPONENTIAL_BACKOFF: 'false',
  KEYLIME_VERIFIER_MAX_RETRIES: '100',
})
beforeAll(() => bed.start())
afterAll(() => bed.stop())

type Answer = (said: { asks: number }) => number

/** A machine that is asked, with a sealed share for it. @param answer HTTP status of `keys/sealed`, by how often it was asked. */
async function sealedMachine(id: string, answer: Answer = () => 200) {
  const machine = await bed.machine()
  const ordered = bed.ordered(id)
  const seen: { path: string; body: unknown }[] = []
  machine.answer.set('/keys/sealed', (_query, results, body) => {
    seen.push({ path: '/keys/sealed', body })
    const status = answer({ asks: seen.length })
    return { status, body: JSON.stringify({ code: status, status: status === 200 ? 'Success' : 'the order is of nobody', results }) }
  })
  await bed.add(id, machine, ordered.enrolment)
  return { machine, ordered, seen }
}

test('what is sealed to a machine that is asked goes to it before V, and is erased when V is confirmed', async () => {
  const { machine, ordered, seen } = await sealedMachine('sealed')
  await until('V', () => machine.received.length > 0)
  expect(machine.received).toEqual([ordered.v])
  expect(seen).toEqual([{ path: '/keys/sealed', body: ordered.mailbox }])
  await bed.inState('sealed', 3)
  const { enrolment, generation } = ordered.order
  expect(await bed.status('sealed')).toMatchObject({ v_released: true, delivery: { enrolment, generation, report: null } })
})

test('an agent that cannot take it now is tried again, and V waits', async () => {
  const { machine, seen } = await sealedMachine('busy', ({ asks }) => (asks < 3 ? 503 : 200))
  await until('V', () => machine.received.length > 0)
  expect(seen).toHaveLength(3)
})

test.each<[string, number, string]>([
  ['does not know sealed shares', 404, 'accepts no sealed key share'],
  ['refuses the order', 403, 'the order is of nobody'],
])('V does not go to an agent that %s; it is attested on, and nobody is told to distrust it', async (what, status, reason) => {
  const id = what.replaceAll(' ', '-')
  const { machine, seen } = await sealedMachine(id, () => status)
  const { delivery } = await until('its word', async () => {
    const now = await bed.status(id)
    return now.delivery?.report ? now : undefined
  })
  expect(delivery.report).toMatchObject({ state: 'refused', error: expect.stringContaining(reason) })
  const { attestation_count: count } = await bed.status(id)
  await until('more attestations', async () => (await bed.status(id)).attestation_count > count + 2)
  expect(await bed.status(id)).toMatchObject({ operational_state: 3, v_released: false, failures: [] })
  expect([machine.received, seen.length]).toEqual([[], 1])
  const { results } = await bed.admin.request('GET', '/v2.6/revocations')
  expect(JSON.stringify(results)).not.toContain(id)
  const next = bed.ordered(id, { plaintext: null })
  expect((await bed.admin.request('PUT', `/v2.6/agents/${id}`, { body: next.enrolment })).status).toBe(200)
  await until('the next order', () => seen.length === 2)
})

test('another delivery takes the place of one that was delivered', async () => {
  const { machine, ordered, seen } = await sealedMachine('twice')
  await until('V', () => machine.received.length > 0)
  await bed.inState('twice', 3)
  const next = bed.ordered('twice', { plaintext: null })
  expect((await bed.admin.request('PUT', '/v2.6/agents/twice', { body: next.enrolment })).status).toBe(200)
  await until('the next V', () => machine.received.length > 1)
  expect(machine.received).toEqual([ordered.v, next.v])
  expect(seen.map(({ body }) => body)).toEqual([ordered.mailbox, next.mailbox])
})
