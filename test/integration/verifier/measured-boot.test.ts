import { machineFile, machinePcrs } from '../../machines.ts'
import { until } from '../../servers.ts'
import type { SimulatedAgent } from '../../simulated-agent.ts'
import { VerifierBed } from '../../verifier-bed.ts'

const BOOT_MASK = '0xfbff'
const bed = new VerifierBed()
beforeAll(() => bed.start())
afterAll(() => bed.stop())

/** A machine with the PCRs and the boot log of a recorded one. */
async function machine(recorded: string): Promise<SimulatedAgent> {
  const agent = await bed.machine()
  for (const [pcr, value] of machinePcrs(recorded, 'sha256')) if (pcr !== 16) agent.pcrs.set(pcr, value)
  agent.extra = { mb_measurement_list: machineFile(recorded, 'uefi.bin').toString('base64') }
  return agent
}
const status = (id: string) => bed.status(id)
const add = (id: string, agent: SimulatedAgent, changes: object) =>
  bed.add(id, agent, { tpm_policy: `{"mask":"${BOOT_MASK}"}`, ...changes })

test('a machine whose boot log explains its PCRs is attested, and fails when a PCR changes', async () => {
  const agent = await machine('secure-boot-ima-ng')
  expect((await add('booted', agent, { mb_policy: '{"scrtm_and_bios": []}' })).status).toBe(200)
  await until('five attestations', async () => (await status('booted')).attestation_count >= 5)
  expect((await status('booted')).has_mb_refstate).toBe(1)
  agent.pcrs.set(4, Buffer.alloc(32, 1))
  await until('the verdict', async () => (await status('booted')).operational_state === 9)
  expect((await status('booted')).last_event_id).toBe('measured_boot.invalid_pcr_4')
})

test('a tenant of an older release says mb_refstate: it holds as mb_policy does, and the text null is none', async () => {
  const old = { mb_policy: undefined }
  const agent = await machine('secure-boot-ima-ng')
  expect((await add('old', agent, { ...old, mb_refstate: '{"scrtm_and_bios": []}' })).status).toBe(200)
  expect((await status('old')).has_mb_refstate).toBe(1)
  expect((await add('broken', agent, { ...old, mb_refstate: '{' })).status).toBe(400)
  expect((await bed.add('none', await bed.machine(), { ...old, mb_refstate: 'null' })).status).toBe(200)
  expect((await status('none')).has_mb_refstate).toBe(0)
  expect(await bed.add('neither', agent, old)).toMatchObject({ status: 400, message: expect.stringContaining('mb_policy') })
})

test('the boot log of another machine is refused, and so is none', async () => {
  const other = await machine('no-secure-boot')
  other.extra = { mb_measurement_list: machineFile('secure-boot-ima-ng', 'uefi.bin').toString('base64') }
  await add('foreign', other, { mb_policy: '{"x": 1}' })
  await until('the verdict', async () => (await status('foreign')).operational_state === 9)
  expect((await status('foreign')).failures.map((f: { event_id: string }) => f.event_id)).toContain('measured_boot.invalid_pcr_7')
  const silent = await machine('no-secure-boot')
  silent.extra = {}
  await add('silent', silent, { mb_policy: '{"x": 1}' })
  await until('the verdict', async () => (await status('silent')).operational_state === 9)
  expect((await status('silent')).last_event_id).toBe('pcr_validation.unused_pcr_0')
})

test('a measured boot policy is judged whatever the mask says, at enrolment and at an update', async () => {
  const silent = await machine('no-secure-boot')
  silent.extra = {}
  await add('masked', silent, { tpm_policy: '{"mask":"0x0"}', mb_policy: '{"x": 1}' })
  await until('the verdict', async () => (await status('masked')).operational_state === 9)
  expect((await status('masked')).last_event_id).toBe('pcr_validation.unused_pcr_0')
  await bed.add('later', silent)
  await until('attested', async () => (await status('later')).attestation_count >= 2)
  expect((await bed.admin.request('PUT', '/v2.6/agents/later', { body: { mb_policy: '{"x": 1}' } })).status).toBe(200)
  await until('the verdict', async () => (await status('later')).operational_state === 9)
})

test('named policies are stored, listed, used, protected while in use, and deleted', async () => {
  const call = (method: 'GET' | 'POST' | 'PUT' | 'DELETE', name: string, body?: object) =>
    bed.admin.request(method, `/v2.6/mbpolicies/${name}`, body ? { body } : {})
  expect((await call('POST', 'golden', { mb_policy: '{"x": 1}' })).status).toBe(201)
  expect(await call('POST', 'golden', { mb_policy: '{"x": 1}' })).toMatchObject({
    status: 409,
    message: 'Measured boot policy with name golden already exists',
  })
  expect((await call('POST', 'broken', { mb_policy: '{' })).status).toBe(400)
  expect(await call('PUT', 'absent', { mb_policy: '{}' })).toMatchObject({
    status: 409,
    message: 'Measured boot policy with name absent does not already exist',
  })
  expect((await call('GET', '')).results).toEqual({ 'mbpolicy names': expect.arrayContaining(['golden']) })
  expect((await call('GET', 'golden')).results).toEqual({ name: 'golden', mb_policy: '{"x": 1}' })
  const agent = await machine('no-secure-boot')
  expect((await add('user', agent, { mb_policy_name: 'golden' })).status).toBe(200)
  expect((await add('other', agent, { mb_policy_name: 'absent' })).status).toBe(404)
  await until('attested', async () => (await status('user')).operational_state === 3)
  expect((await call('DELETE', 'golden')).status).toBe(409)
  await bed.admin.request('DELETE', '/v2.6/agents/user')
  expect((await call('DELETE', 'golden')).status).toBe(204)
  expect((await call('DELETE', 'golden')).status).toBe(404)
})
