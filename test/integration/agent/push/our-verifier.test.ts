import { createHash, randomBytes } from 'node:crypto'
import fs from 'node:fs'
import path from 'node:path'
import { parseEntry } from '../../../../src/core/ima/entry.ts'
import { imaLine, runtimePolicy } from '../../../ima.ts'
import { until } from '../../../servers.ts'
import { pushEnrolment, type SimulatedPushAgent } from '../../../simulated-push-agent.ts'
import { walk } from '../../../thorough.ts'
import { VerifierBed } from '../../../verifier-bed.ts'
import { AGENT_ID } from '../agent-bed.ts'
import { PushBed } from './push-bed.ts'

const DIGEST = 'ab'.repeat(32)
const describeAsRoot = process.getuid?.() === 0 ? describe : describe.skip // the agent mounts its tmpfs

describeAsRoot('an agent that brings its evidence, and a verifier that also asks others', () => {
  const bed = new PushBed()
  const verifiers = new VerifierBed({ KEYLIME_VERIFIER_SESSION_LIFETIME: '2' })

  beforeAll(async () => {
    await bed.start()
    await verifiers.start()
    await bed.startAgent({
      KEYLIME_AGENT_VERIFIER_URL: `https://127.0.0.1:${verifiers.verifier.port}`,
      KEYLIME_AGENT_VERIFIER_TLS_CA_CERT: path.join(verifiers.home.dir, 'cv_ca/cacert.crt'),
    })
  })
  afterAll(async () => {
    await bed.stop()
    await verifiers.stop()
  })
  beforeEach(() => {
    bed.log.length = 0
  })

  const status = () => verifiers.status(AGENT_ID)
  const attested = async (more = 2) => {
    const before = (await status()).attestation_count as number
    await until(`${more} more attestations`, async () => (await status()).attestation_count >= before + more, 20)
  }

  async function enrol(changes: Record<string, unknown>): Promise<void> {
    await verifiers.admin.request('DELETE', `/v2.6/agents/${AGENT_ID}`)
    await until('the verifier to forget it', async () => (await verifiers.admin.request('GET', `/v2.6/agents/${AGENT_ID}`)).status === 404)
    const { bytes } = bed.verifier.ak
    const size = Buffer.from([bytes.length >> 8, bytes.length & 0xff])
    const machine = { ak: { public: Buffer.concat([size, bytes]) } } as unknown as SimulatedPushAgent
    const { status: code, message } = await verifiers.admin.request('POST', `/v2.6/agents/${AGENT_ID}`, {
      body: pushEnrolment(machine, changes),
    })
    expect([code, message]).toEqual([200, 'Success'])
  }

  test('both are attested side by side, for longer than a session lasts; no V goes to the one that nobody can call', async () => {
    const asked = await verifiers.machine()
    await verifiers.add('asked', asked)
    await enrol({ v: randomBytes(32).toString('base64') })
    await attested(4)
    await verifiers.inState('asked', 3)
    expect(await status()).toMatchObject({
      operational_state: 3,
      comes_by: 'push',
      ip: null,
      v_released: false,
      attestation_status: 'PASS',
    })
    expect(bed.told(/refuses|cannot/)).toEqual([])
  })

  test('its list is judged as it grows; an unknown file fails it, and its log says why nothing more is taken', async () => {
    fs.writeFileSync(bed.servers.imaLog, '')
    await bed.servers.tpm.powerCycle()
    await measure('boot_aggregate')
    await enrol({
      runtime_policy: Buffer.from(runtimePolicy({ digests: { boot_aggregate: [DIGEST], '/usr/bin/known': [DIGEST] } })).toString('base64'),
    })
    await attested()
    await measure('/usr/bin/known')
    await attested()
    await measure('/usr/bin/evil')
    await until('a failure', async () => (await status()).last_event_id)
    expect((await status()).last_event_id).toBe('ima.validation.ima-ng.not_in_allowlist')
    await until('its log to say so', () => bed.told(/refuses a new attestation of this machine \(403\): \S+/).length > 0)
    expect((await verifiers.status('asked')).operational_state).toBe(3)
  })

  walk('a PCR that changes fails it; enrolled anew it passes; a verifier that restarts is found again', async () => {
    await enrol({ tpm_policy: JSON.stringify({ 15: ['0'.repeat(64)] }) })
    await attested()
    await bed.servers.tpm.extendPcr(15, Buffer.alloc(32, 1))
    await until('a failure', async () => (await status()).last_event_id === 'pcr_validation.invalid_pcr_15')
    await enrol({})
    await attested()
    const { port } = verifiers.verifier
    verifiers.home.env['KEYLIME_VERIFIER_PORT'] = String(port)
    await verifiers.restart()
    await attested()
  })

  /** The kernel measures a file: its line, then PCR 10. */
  async function measure(name: string): Promise<void> {
    const line = imaLine(`ima-ng sha256:${DIGEST} ${name}`)
    fs.appendFileSync(bed.servers.imaLog, `${line}\n`)
    await bed.servers.tpm.extendPcr(10, createHash('sha256').update(parseEntry(line).data).digest())
  }
})
