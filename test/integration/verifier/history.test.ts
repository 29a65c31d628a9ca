import { historyPage } from '../../../src/core/api/history.ts'
import { OPERATIONAL_STATE } from '../../../src/core/attestation/operational-state.ts'
import { until } from '../../servers.ts'
import { VerifierBed } from '../../verifier-bed.ts'

const bed = new VerifierBed({
  KEYLIME_VERIFIER_RETRY_INTERVAL: '0.05',
  KEYLIME_VERIFIER_EXPONENTIAL_BACKOFF: 'false',
  KEYLIME_VERIFIER_MAX_RETRIES: '1',
})
beforeAll(() => bed.start())
afterAll(() => bed.stop())

const history = async (query: Record<string, string> = {}) => {
  const { results } = await bed.admin.request('GET', '/v2.6/history', { query })
  return historyPage.parse(results)
}
const standings = async (agent: string) => (await history({ agent })).entries.map(({ event, state }) => [event.type, state])
const reaches = (agent: string, type: string) =>
  until(`${type} of ${agent}`, async () => (await standings(agent)).some(([found]) => found === type))

test('each change of state is kept once, with the operator’s commands, over a restart and the deletion of the machine', async () => {
  const machine = await bed.machine()
  await bed.add('one', machine, { v: Buffer.alloc(32, 1).toString('base64') })
  await reaches('one', 'agent_attested')
  await until('many quotes', async () => (await bed.status('one')).attestation_count > 5)
  await machine.stop()
  await reaches('one', 'agent_unreachable')
  await bed.restart()
  await bed.admin.request('DELETE', '/v2.6/agents/one')
  expect(await standings('one')).toEqual([
    ['agent_enrolled', 'waiting'],
    ['agent_attested', 'attested'],
    ['v_released', 'attested'],
    ['v_delivered', 'attested'],
    ['agent_unreachable', 'unreachable'],
    ['agent_deleted', 'deleted'],
  ])
  const { entries } = await history({ agent: 'one' })
  expect(entries.at(-1)!.event).toMatchObject({ operator: { common_name: expect.any(String), address: '127.0.0.1' } })
})

test('a failure is kept with the ids of what failed, and a stop, a reactivation and a revocation with who ordered it', async () => {
  const machine = await bed.machine()
  await bed.add('two', machine, { tpm_policy: JSON.stringify({ mask: '0x8', 3: ['2'.repeat(64)] }) })
  await bed.inState('two', OPERATIONAL_STATE.INVALID_QUOTE).catch(() => undefined)
  await reaches('two', 'agent_failed')
  for (const word of ['stop', 'reactivate', 'revoke']) await bed.admin.request('PUT', `/v2.6/agents/two/${word}`, { body: {} })
  const { entries } = await history({ agent: 'two' })
  const failed = entries.find(({ event }) => event.type === 'agent_failed')!
  expect(failed.event).toMatchObject({ failures: [{ event_id: expect.stringContaining('pcr_validation') }] })
  expect(entries.map(({ event }) => event.type)).toEqual(expect.arrayContaining(['agent_stopped', 'agent_reactivated', 'agent_revoked']))
  expect(entries.at(-1)!.state).toBe('revoked')
})

test('all machines come in pages, in the order in which it happened', async () => {
  const all = (await history()).entries.map(({ id }) => id)
  const paged: number[] = []
  for (let after = 0; ; ) {
    const { entries, next } = await history({ limit: '3', after: String(after) })
    expect(entries.length).toBeLessThanOrEqual(3)
    paged.push(...entries.map(({ id }) => id))
    if (next === null) break
    after = next
  }
  expect(paged).toEqual(all)
  expect(all).toEqual(all.toSorted((a, b) => a - b))
  expect((await history({ since: '2100-01-01' })).entries).toEqual([])
  expect((await history({ until: '2001-01-01T00:00:00Z' })).entries).toEqual([])
})

test.each([{ since: 'yesterday' }, { until: '12' }, { limit: '0' }, { limit: '1001' }, { limit: '-1' }, { after: 'x' }, { agent: '../x' }])(
  '%p is refused',
  async (query) => {
    expect((await bed.admin.request('GET', '/v2.6/history', { query })).status).toBe(400)
  },
)
