import { rsaKeyPair } from '../../rsa-keys.ts'
import { until } from '../../servers.ts'
import { enrolmentBody } from '../../simulated-agent.ts'
import { VerifierBed } from '../../verifier-bed.ts'

let bed: VerifierBed
beforeEach(async () => {
  bed = new VerifierBed()
  await bed.start()
})
afterEach(() => bed.stop())

const V = Buffer.alloc(32, 7).toString('base64')
/** 64 KiB and more of a policy that this machine does not meet. */
const longPolicy = JSON.stringify({ mask: '0x400000', 22: Array.from({ length: 1100 }, (_, i) => i.toString(16).padStart(64, 'a')) })

describe('a member that is longer than it may be is never left out', () => {
  test('static PCRs: refused, or judged by', async () => {
    const machine = await bed.machine()
    const { status } = await bed.add('long', machine, { tpm_policy: longPolicy, v: V })
    if (status === 200) {
      await new Promise((done) => setTimeout(done, 500))
      expect((await bed.status('long')).tpm_policy).toBe(longPolicy)
    } else expect(status).toBe(400)
    expect(machine.received).toEqual([])
  })

  test.each(['metadata', 'revocation_key', 'ima_sign_verification_keys', 'v', 'mb_policy_name'])('%s', async (member) => {
    const machine = await bed.machine()
    const { status } = await bed.add('long', machine, { [member]: 'x'.repeat(70_000) })
    expect(status).toBe(400)
  })

  test('a reference state of a tenant before 7.12 is read', async () => {
    const machine = await bed.machine()
    const { mb_policy: _, ...body } = enrolmentBody(machine, { mb_refstate: `{"x":"${'x'.repeat(70_000)}` })
    const { status } = await bed.admin.request('POST', '/v2.6/agents/old', { body })
    expect(status).toBe(400)
  })

  test('a keyring of 200 keys', async () => {
    const key = rsaKeyPair().publicKey.export({ format: 'der', type: 'spki' }).toString('base64')
    const keyids = Array.from({ length: 200 }, (_, i) => i + 1)
    const keys = JSON.stringify({ meta: { version: 1 }, keyids, pubkeys: keyids.map(() => key) })
    const machine = await bed.machine()
    await bed.add('keys', machine, { ima_sign_verification_keys: keys })
    await until('asked', () => machine.quotes.length > 0)
    expect((await bed.status('keys')).has_runtime_policy).toBe(1)
  })

  test('an update too', async () => {
    const machine = await bed.machine()
    await bed.add('long', machine, { tpm_policy: `{"mask":"0x400000","22":["${'aa'.repeat(32)}"]}` })
    const { status } = await bed.admin.request('PUT', '/v2.6/agents/long', { body: { tpm_policy: longPolicy } })
    expect(status).toBe(400)
  })
})
