import type { BootEvent } from '../../../src/core/measured-boot/event-log.ts'
import { mergeReferenceState } from '../../../src/core/measured-boot/merge-reference-state.ts'
import { changed, machineEvents, machineState, replayedPcrs, serialize } from '../../boot-log.ts'
import { until } from '../../servers.ts'
import type { SimulatedAgent } from '../../simulated-agent.ts'
import { VerifierBed } from '../../verifier-bed.ts'

const MACHINE = 'secure-boot-ima-ng'
const BOOT_MASK = '{"mask":"0xfbff"}'
const state = machineState(MACHINE)
const bed = new VerifierBed({ KEYLIME_VERIFIER_MEASURED_BOOT_POLICY_NAME: 'example', KEYLIME_VERIFIER_MEASURED_BOOT_EVALUATE: 'always' })
beforeAll(() => bed.start())
afterAll(() => bed.stop())

/** Makes the machine one that has measured these events. */
function boot(agent: SimulatedAgent, events: readonly BootEvent[]): void {
  const log = serialize(events)
  for (const [pcr, value] of (replayedPcrs(log) as { values: Map<number, Buffer> }).values) agent.pcrs.set(pcr, value)
  agent.extra = { mb_measurement_list: log.toString('base64') }
}
const add = (id: string, agent: SimulatedAgent, changes: object) => bed.add(id, agent, { tpm_policy: BOOT_MASK, ...changes })
const policy = (method: 'POST' | 'PUT', name: string, mb_policy: object) =>
  bed.admin.request(method, `/v2.6/mbpolicies/${name}`, { body: { mb_policy: JSON.stringify(mb_policy) } })
const newInitrd = machineEvents(MACHINE).map((event) => (event.data.toString('latin1').startsWith('/boot/initrd') ? changed(event) : event))

test('a machine that boots as its reference state says is attested; after an update it fails with the initrd named, until that is accepted', async () => {
  const agent = await bed.machine()
  boot(agent, machineEvents(MACHINE))
  expect((await policy('POST', 'fleet', state)).status).toBe(201)
  expect((await add('booted', agent, { mb_policy_name: 'fleet' })).status).toBe(200)
  await until('three attestations', async () => (await bed.status('booted')).attestation_count >= 3)
  boot(agent, newInitrd)
  await bed.inState('booted', 9)
  const { last_event_id, failures } = await bed.status('booted')
  expect(last_event_id).toBe('measured_boot.policy_example')
  expect(failures).toMatchObject([{ context: { pcr: 9, type: 'EV_IPL', stands_for: 'initrd /boot/initrd.img-6.1.0-56-amd64' } }])
  expect((await policy('PUT', 'fleet', mergeReferenceState(state, failures[0].context.accept))).status).toBe(201)
  expect((await add('again', agent, { mb_policy_name: 'fleet' })).status).toBe(200)
  await until('attested', async () => (await bed.status('again')).attestation_count >= 2)
})

test('a machine that already boots otherwise never gets its first good attestation', async () => {
  const agent = await bed.machine()
  boot(agent, newInitrd)
  await add('foreign', agent, { mb_policy: JSON.stringify(state) })
  await bed.inState('foreign', 9)
  expect((await bed.status('foreign')).attestation_count).toBe(0)
})

test('the PCRs of the policy are quoted whatever the mask says', async () => {
  const agent = await bed.machine()
  boot(agent, machineEvents(MACHINE))
  await add('narrow', agent, { tpm_policy: '{"mask":"0x0"}', mb_policy: JSON.stringify(state) })
  await until('attested', async () => (await bed.status('narrow')).attestation_count >= 2)
  boot(agent, newInitrd)
  await bed.inState('narrow', 9)
  expect((await bed.status('narrow')).last_event_id).toBe('measured_boot.policy_example')
})

test('a reference state with a fault is refused where it arrives, with the place of the fault', async () => {
  const faulty = { ...state, kernels: [{ ...state.kernels[0], kernel_cmdline: '(' }] }
  expect(await policy('POST', 'faulty', faulty)).toMatchObject({
    status: 400,
    message: expect.stringMatching(/^kernels\[0\]\.kernel_cmdline: /),
  })
  const agent = await bed.machine()
  expect((await add('refused', agent, { mb_policy: JSON.stringify(faulty) })).status).toBe(400)
})

test('an engine that does not exist keeps the verifier from starting', async () => {
  const other = new VerifierBed({ KEYLIME_VERIFIER_MEASURED_BOOT_POLICY_NAME: 'mine' })
  await expect(other.start()).rejects.toMatchObject({ code: 'config_invalid', hint: 'known are accept-all, reject-all, example' })
  other.home.remove()
})
