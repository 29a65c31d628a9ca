import fs from 'node:fs'
import path from 'node:path'
import { challengeHmac } from '../../../../src/core/payload/auth-tag.ts'
import { makePackage } from '../../../../src/core/payload/certificate-package.ts'
import { parsePublicArea } from '../../../../src/core/tpm/public-area.ts'
import { type SealedDelivery, sealedDelivery } from '../../../sealed-delivery.ts'
import { adminClient, until } from '../../../servers.ts'
import { pushEnrolment, type SimulatedPushAgent } from '../../../simulated-push-agent.ts'
import { VerifierBed } from '../../../verifier-bed.ts'
import { AGENT_ID } from '../agent-bed.ts'
import { PushBed } from './push-bed.ts'

const describeAsRoot = process.getuid?.() === 0 ? describe : describe.skip // the agent mounts its tmpfs

describeAsRoot('payloads from our verifier to our agent that brings its evidence', () => {
  const bed = new PushBed()
  const verifiers = new VerifierBed()
  const secure = (name: string) => path.join(bed.servers.secure, name)
  const read = (name: string) => fs.readFileSync(secure(name), 'utf8')

  const startAgent = () =>
    bed.startAgent({
      KEYLIME_AGENT_VERIFIER_URL: `https://127.0.0.1:${verifiers.verifier.port}`,
      KEYLIME_AGENT_VERIFIER_TLS_CA_CERT: path.join(verifiers.home.dir, 'cv_ca/cacert.crt'),
      KEYLIME_AGENT_TRUSTED_CLIENT_CA: path.join(verifiers.home.dir, 'cv_ca/cacert.crt'),
    })

  beforeAll(async () => {
    await bed.start()
    await verifiers.start()
    await startAgent()
  })
  afterAll(async () => {
    await bed.stop()
    await verifiers.stop()
  })

  const status = () => verifiers.status(AGENT_ID)

  async function seal(content: Buffer): Promise<SealedDelivery> {
    const registrar = adminClient(bed.servers.place.dir, bed.servers.registrar.tlsPort!)
    const { results } = await registrar.request('GET', `/v2.6/agents/${AGENT_ID}`).finally(() => registrar.close())
    const ek = parsePublicArea(Buffer.from((results as { ek_tpm: string }).ek_tpm, 'base64'))
    const of = (name: string) => fs.readFileSync(path.join(verifiers.home.dir, 'cv_ca', name), 'utf8')
    const signer = { cert: of('client-cert.crt'), key: of('client-private.pem') }
    return sealedDelivery({ agentId: AGENT_ID, ek, ak: bed.verifier.ak, signer }, content)
  }

  async function enrol({ mailbox, v }: SealedDelivery): Promise<void> {
    await verifiers.admin.request('DELETE', `/v2.6/agents/${AGENT_ID}`)
    await until('the verifier to forget it', async () => (await verifiers.admin.request('GET', `/v2.6/agents/${AGENT_ID}`)).status === 404)
    const { bytes } = bed.verifier.ak
    const size = Buffer.from([bytes.length >> 8, bytes.length & 0xff])
    const machine = { ak: { public: Buffer.concat([size, bytes]) } } as unknown as SimulatedPushAgent
    const body = pushEnrolment(machine, { v: v.toString('base64'), delivery: mailbox })
    const { status: code, message } = await verifiers.admin.request('POST', `/v2.6/agents/${AGENT_ID}`, { body })
    expect([code, message]).toEqual([200, 'Success'])
  }

  const delivered = (state: string, script = 'none') =>
    until(
      `a delivery that is ${state}`,
      async () => {
        const { delivery } = await status()
        return delivery?.report?.state === state && delivery.report.script === script ? delivery : null
      },
      25,
    )

  test('a script and its file arrive, the proof is by K, V is erased', async () => {
    const zip = await makePackage(
      [
        { name: 'autorun.sh', data: Buffer.from('echo begun >> ../runs; cat file\n') },
        { name: 'file', data: Buffer.from('inner\n') },
      ],
      Date.now(),
    )
    const sealed = await seal(zip)
    await enrol(sealed)
    const { report } = await delivered('unpacked', 'done')
    expect(report).toMatchObject({ files: 2, script_exit: 0, proof: challengeHmac(sealed.k, sealed.order.challenge) })
    expect([read('unzipped/file'), read('runs')]).toEqual(['inner\n', 'begun\n'])
    expect(await status()).toMatchObject({ v_released: true, attestation_status: 'PASS' })
  })

  test('an agent that ended before it had V gets it when it is back; one that has it runs nothing again', async () => {
    await bed.stopAgent()
    const sealed = await seal(Buffer.from('the secret'))
    await enrol(sealed)
    await startAgent()
    await delivered('unpacked')
    expect(read('decrypted_payload')).toBe('the secret')
    await bed.stopAgent()
    await startAgent()
    const { attestation_count: before } = await status()
    await until('attestations', async () => (await status()).attestation_count > before + 1, 20)
    expect(read('decrypted_payload')).toBe('the secret')
    // An agent that starts again within its pause may be asked to wait: that is no error.
    expect(bed.told(/refused|cannot/).filter((line) => !line.includes('(429)'))).toEqual([])
  })
})
