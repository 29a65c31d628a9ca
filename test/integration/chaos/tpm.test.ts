import { execFileSync } from 'node:child_process'
import fs from 'node:fs'
import path from 'node:path'
import { isWhole } from '../../chaos/role-process.ts'
import { startTpmProxy, type TpmProxy } from '../../chaos/tpm-proxy.ts'
import { until } from '../../servers.ts'
import { VerifierBed } from '../../verifier-bed.ts'
import { AGENT_ID, AgentBed } from '../agent/agent-bed.ts'

const describeAsRoot = process.getuid?.() === 0 ? describe : describe.skip

/** A real agent on a software TPM, attested by a real verifier. */
describeAsRoot('a TPM in trouble', () => {
  const verifier = new VerifierBed({
    KEYLIME_VERIFIER_RETRY_INTERVAL: '0.05',
    KEYLIME_VERIFIER_EXPONENTIAL_BACKOFF: 'false',
    KEYLIME_VERIFIER_MAX_RETRIES: '100',
  })
  const bed = new AgentBed()
  let proxy: TpmProxy
  const record = () => JSON.parse(fs.readFileSync(path.join(bed.agentDir, 'agent_data.json'), 'utf8')) as { ak_public: number[] }
  const count = async (): Promise<number> => (await verifier.status(AGENT_ID)).attestation_count
  const isAttestedOn = async (what: string) => {
    const before = await count()
    await until(`attestation ${what}`, async () => (await count()) > before + 1, 30)
  }
  const isMissed = async () => (await verifier.status(AGENT_ID)).operational_state === 4
  const tools = (name: string, ...args: string[]) =>
    execFileSync(name, args, { env: { ...process.env, TPM2TOOLS_TCTI: bed.tpm.tcti }, stdio: 'ignore' })
  const lockoutAfter = (tries: number) =>
    tools('tpm2_dictionarylockout', '--setup-parameters', `--max-tries=${tries}`, '--recovery-time=1000', '--lockout-recovery-time=1000')
  const failures = async (): Promise<unknown[]> => (await verifier.status(AGENT_ID)).failures

  beforeAll(async () => {
    await verifier.start()
    await bed.startServers()
    proxy = await startTpmProxy(bed.tpm.directory)
    lockoutAfter(1000) // each reset with a key in use counts as a wrong password
    const settings = {
      KEYLIME_AGENT_UUID: AGENT_ID,
      TCTI: proxy.tcti,
      KEYLIME_AGENT_TRUSTED_CLIENT_CA: path.join(verifier.home.dir, 'cv_ca/cacert.crt'),
    }
    await bed.startAgent(settings)
    const ak = Buffer.from(record().ak_public)
    const size = Buffer.alloc(2)
    size.writeUInt16BE(ak.length)
    const { status } = await verifier.admin.request('POST', `/v2.6/agents/${AGENT_ID}`, {
      body: { ...enrolment(), ak_tpm: Buffer.concat([size, ak]).toString('base64') },
    })
    expect(status).toBe(200)
    await isAttestedOn('at first')
  })
  afterAll(async () => {
    await verifier.stop()
    await bed.stop()
    await proxy.stop()
  })

  const enrolment = () => ({
    v: null,
    cloudagent_ip: '127.0.0.1',
    cloudagent_port: bed.agent.port,
    tpm_policy: '{"mask":"0x0"}',
    runtime_policy: '',
    runtime_policy_name: null,
    runtime_policy_key: '',
    mb_policy: null,
    mb_policy_name: '',
    ima_sign_verification_keys: '',
    metadata: '{}',
    revocation_key: '',
    accept_tpm_hash_algs: ['sha256'],
    accept_tpm_encryption_algs: ['ecc'],
    accept_tpm_signing_algs: ['ecdsa'],
    mtls_cert: fs.readFileSync(path.join(bed.agentDir, 'server-cert.crt'), 'utf8'),
    supported_version: '2.6',
  })

  /** YIELDED, TESTING, NV_RATE, RETRY, NV_UNAVAILABLE. */
  test.each(isWhole ? [0x908, 0x90a, 0x920, 0x922, 0x923] : [0x922])(
    'one that is busy (response code %i) is asked again, and nobody notices',
    async (code) => {
      proxy.answer(code, 23)
      await until('the warnings', () => proxy.answered === 23)
      await isAttestedOn('behind them')
      expect(await failures()).toEqual([])
    },
  )

  test('one that was reset in the middle of a command has its keys again', async () => {
    for (let i = 0; i < (isWhole ? 10 : 2); i++) {
      await bed.tpm.powerCycle({ startup: i % 2 === 0 })
      await isAttestedOn('after the reset')
    }
    expect(await failures()).toEqual([])
  })

  test('one that is gone makes its machine unreachable, never distrusted, and is used again when it is back', async () => {
    const ak = record()
    await bed.tpm.kill()
    await until('that it is missed', isMissed)
    await bed.tpm.start()
    await isAttestedOn('when it is back')
    expect(record()).toEqual(ak)
    expect(await failures()).toEqual([])
  })

  test('one in lockout makes its machine unreachable, says so with what to do, and is used again when that is over', async () => {
    lockoutAfter(1)
    const key = path.join(bed.tpm.directory, 'locked.ctx')
    tools('tpm2_createprimary', '-C', 'o', '-p', 'right', '-c', key)
    expect(() => tools('tpm2_create', '-C', key, '-P', 'wrong', '-u', `${key}.pub`, '-r', `${key}.priv`)).toThrow()
    tools('tpm2_flushcontext', '-t')
    await until('that it is missed', isMissed)
    expect(bed.log.join('\n')).toMatch(/no quote: .*\(0x921\).*the TPM is in lockout.*tpm2_dictionarylockout --clear-lockout/)
    tools('tpm2_dictionarylockout', '--clear-lockout')
    await isAttestedOn('behind it')
    expect(await failures()).toEqual([])
  })
})
