import { agentIds } from '../../../src/core/api/agent-ids.ts'
import { agentStatus, agentStatuses } from '../../../src/core/api/agent-status.ts'
import { explanation } from '../../../src/core/api/explanation.ts'
import { revocationReport } from '../../../src/core/api/revocation-report.ts'
import { serverVersion } from '../../../src/core/api/server-version.ts'
import { policyNames, storedPolicy } from '../../../src/core/api/stored-policies.ts'
import { runtimePolicy } from '../../ima.ts'
import { VerifierBed } from '../../verifier-bed.ts'

const bed = new VerifierBed()
const BOOT = { has_secureboot: true, scrtm_and_bios: [], pk: [], kek: [], db: [], dbx: [], vendor_db: [], kernels: [] }

/** `results` of a GET as a tenant of ours reads them. */
async function results(path: string): Promise<unknown> {
  const { status, results } = await bed.admin.request('GET', path)
  expect({ path, status }).toEqual({ path, status: 200 })
  return results
}

beforeAll(async () => {
  await bed.start()
  await bed.add('good', await bed.machine())
  await bed.add('liar', await bed.machine(), { tpm_policy: JSON.stringify({ 15: ['1'.repeat(64)], mask: '0x8000' }) })
  await bed.inState('good', 3)
  await bed.inState('liar', 9)
})
afterAll(() => bed.stop())

test('the version is one that our clients read', async () => {
  expect(serverVersion.parse(await results('/version'))).toEqual(await results('/version'))
})

test('the status of a good and of a failed machine is read whole, alone and in bulk', async () => {
  for (const id of ['good', 'liar']) {
    const sent = await results(`/v2.6/agents/${id}`)
    const read = agentStatus.parse(sent)
    expect(read).toEqual(sent)
    expect(Object.keys(agentStatus.shape).filter((member) => !(member in read))).toEqual([])
  }
  expect(Object.keys(agentStatuses.parse(await results('/v2.6/agents/?bulk=True'))).sort()).toEqual(['good', 'liar'])
  expect(agentIds.parse(await results('/v2.6/agents/')).toSorted()).toEqual(['good', 'liar'])
})

test('the story of a failure is read whole', async () => {
  const sent = await results('/v2.6/agents/liar/explanation')
  expect(explanation.parse(sent)).toEqual(sent)
})

test('revocations are read whole', async () => {
  const sent = await results('/v2.6/revocations')
  const read = revocationReport.parse(sent)
  expect(read).toEqual(sent)
  expect(read.revocations.map(({ agent_id }) => agent_id)).toEqual(['liar'])
})

test('stored policies and their names are read', async () => {
  const policy = runtimePolicy()
  const put = (path: string, body: object) => bed.admin.request('POST', path, { body })
  expect((await put('/v2.6/allowlists/r', { runtime_policy: Buffer.from(policy).toString('base64') })).status).toBe(201)
  expect((await put('/v2.6/mbpolicies/b', { mb_policy: JSON.stringify(BOOT) })).status).toBe(201)
  expect(policyNames.runtime.parse(await results('/v2.6/allowlists/'))['runtimepolicy names']).toContain('r')
  expect(policyNames.mb.parse(await results('/v2.6/mbpolicies/'))['mbpolicy names']).toContain('b')
  expect(storedPolicy.runtime.parse(await results('/v2.6/allowlists/r'))).toEqual({ name: 'r', runtime_policy: policy })
  expect(storedPolicy.mb.parse(await results('/v2.6/mbpolicies/b'))).toEqual({ name: 'b', mb_policy: JSON.stringify(BOOT) })
})
