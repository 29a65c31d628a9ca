import { randomBytes } from 'node:crypto'
import fc from 'fast-check'
import { until } from '../../servers.ts'
import { bootLikeRealMachine, enrolmentBody, type SimulatedAgent } from '../../simulated-agent.ts'
import { runs } from '../../thorough.ts'
import { VerifierBed } from '../../verifier-bed.ts'

const bed = new VerifierBed({ KEYLIME_VERIFIER_QUOTE_INTERVAL: '0.1' })
const machines = new Map<string, SimulatedAgent>()
const IDS = ['a', 'b', 'p'] // one of them is also the name of a policy
const NAMES = ['p', 'q']
beforeAll(async () => {
  await bed.start()
  for (const id of IDS) machines.set(id, await bed.machine())
  for (const machine of machines.values()) bootLikeRealMachine(machine)
})
afterAll(() => bed.stop())

const id = fc.constantFrom(...IDS)
const name = fc.constantFrom(...NAMES)
const policy = fc.oneof(
  fc.constant({ mb_policy: null, mb_policy_name: '' }),
  fc.constant({ mb_policy: '{"own":1}', mb_policy_name: '' }),
  name.map((n) => ({ mb_policy: null, mb_policy_name: n })),
  name.map((n) => ({ mb_policy: '{"named":1}', mb_policy_name: n })),
)
const step = fc.oneof(
  { weight: 4, arbitrary: fc.record({ do: fc.constant('add' as const), id, policy, withV: fc.boolean() }) },
  {
    weight: 3,
    arbitrary: fc.record({ do: fc.constant('update' as const), id, policy: fc.oneof(policy, fc.constant({})), withV: fc.boolean() }),
  },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('delete' as const), id }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('stop' as const), id }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('reactivate' as const), id }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('create' as const), name }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('replace' as const), name }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('remove' as const), name }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('restart' as const) }) },
)
type Step = typeof step extends fc.Arbitrary<infer T> ? T : never

/** What must be stored: each agent with the name of its policy, if it has a named one, and the named policies. */
interface Model {
  agents: Map<string, string | null>
  names: Set<string>
  /** Each V that was ever given, and for whom. */
  shares: { id: string; v: Buffer }[]
}

let written = 0
const request = async (method: 'GET' | 'PUT' | 'POST' | 'DELETE', route: string, body?: unknown) =>
  bed.admin.request(method, `/v2.6${route}`, body === undefined ? {} : { body })

/** The status that a request for these policies must get, by what is stored. */
function expected(model: Model, given: { mb_policy?: string | null; mb_policy_name?: string }): { status: number; name: string | null } {
  const { mb_policy: content, mb_policy_name: asked } = given
  if (asked && content) return { status: model.names.has(asked) ? 409 : 200, name: asked }
  if (asked) return { status: model.names.has(asked) ? 200 : 404, name: asked }
  return { status: 200, name: null }
}

async function enrol(model: Model, given: Extract<Step, { do: 'add' | 'update' }>): Promise<void> {
  const there = model.agents.has(given.id)
  const v = given.withV ? randomBytes(32) : null
  const share = v ? { v: v.toString('base64') } : {}
  const isAdd = given.do === 'add'
  const reply = isAdd
    ? await request('POST', `/agents/${given.id}`, enrolmentBody(machines.get(given.id)!, { ...given.policy, ...share }))
    : await request('PUT', `/agents/${given.id}`, { ...given.policy, ...share })
  const { status, name: used } = expected(model, given.policy)
  expect(reply.status).toBe(isAdd && there ? 409 : !isAdd && !there ? 404 : status)
  if (reply.status !== 200) return
  if (used && 'mb_policy' in given.policy && given.policy.mb_policy) model.names.add(used)
  model.agents.set(given.id, 'mb_policy' in given.policy ? used : (model.agents.get(given.id) ?? null))
  if (v) model.shares.push({ id: given.id, v })
}

async function perform(model: Model, given: Step): Promise<void> {
  if (given.do === 'restart') return bed.restart()
  if (given.do === 'add' || given.do === 'update') return enrol(model, given)
  if ('name' in given) {
    const there = model.names.has(given.name)
    const used = [...model.agents.values()].includes(given.name)
    const body = { mb_policy: `{"n":${++written}}` }
    if (given.do === 'create') expect((await request('POST', `/mbpolicies/${given.name}`, body)).status).toBe(there ? 409 : 201)
    if (given.do === 'replace') expect((await request('PUT', `/mbpolicies/${given.name}`, body)).status).toBe(there ? 201 : 409)
    if (given.do === 'remove') expect((await request('DELETE', `/mbpolicies/${given.name}`)).status).toBe(!there ? 404 : used ? 409 : 204)
    if (given.do === 'create') model.names.add(given.name)
    if (given.do === 'remove' && !used) model.names.delete(given.name)
    return
  }
  const status = model.agents.has(given.id) ? 200 : 404
  if (given.do === 'delete') expect((await request('DELETE', `/agents/${given.id}`)).status).toBe(status)
  else expect((await request('PUT', `/agents/${given.id}/${given.do}`, {})).status).toBe(status)
  if (given.do === 'delete') model.agents.delete(given.id)
}

async function agrees(model: Model): Promise<void> {
  const { uuids } = (await request('GET', '/agents/')).results as { uuids: string[][] }
  expect(uuids.flat()).toEqual([...model.agents.keys()].sort())
  expect(Object.keys((await request('GET', '/agents/?bulk=True')).results as object).sort()).toEqual([...model.agents.keys()].sort())
  expect((await request('GET', '/mbpolicies')).results).toEqual({ 'mbpolicy names': [...model.names].sort() })
}

test('whatever operators do in whatever order, over restarts: store and API agree, everybody is attested or says why not, V leaves once', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(step, { minLength: 3, maxLength: 14 }), async (steps) => {
      const model: Model = { agents: new Map(), names: new Set(), shares: [] }
      const received = new Map(IDS.map((i) => [i, machines.get(i)!.received.length]))
      for (const given of steps) {
        await perform(model, given)
        await agrees(model)
      }
      for (const agent of model.agents.keys())
        await until(`a verdict on ${agent}`, async () => [3, 10].includes((await bed.status(agent)).operational_state))
      for (const i of IDS) {
        const taken = machines.get(i)!.received.slice(received.get(i))
        expect(new Set(taken.map((share) => share.toString('hex'))).size).toBe(taken.length)
        for (const share of taken) expect(model.shares.some(({ id: whose, v }) => whose === i && v.equals(share))).toBe(true)
      }
      for (const agent of model.agents.keys()) expect((await request('DELETE', `/agents/${agent}`)).status).toBe(200)
      for (const used of model.names) expect((await request('DELETE', `/mbpolicies/${used}`)).status).toBe(204)
      await agrees({ agents: new Map(), names: new Set(), shares: [] })
    }),
    { numRuns: runs(25, 8), seed: 20261128, endOnFailure: true },
  )
})
