import fs from 'node:fs'
import path from 'node:path'
import { until } from '../servers.ts'
import { command, Deployment, KEYLIME } from './deployment.ts'

const describeAsRoot = process.getuid?.() === 0 ? describe : describe.skip

/** Kinds of keys beyond the usual; the software TPM has EK certificates for none of them. */
describeAsRoot('the main job with other kinds of keys', () => {
  const d = new Deployment()
  const accepting = {
    KEYLIME_TENANT_REQUIRE_EK_CERT: 'False',
    KEYLIME_TENANT_ACCEPT_TPM_SIGNING_ALGS: "['rsapss', 'ecdsa']",
    KEYLIME_TENANT_ACCEPT_TPM_ENCRYPTION_ALGS: "['rsa', 'rsa3072', 'ecc521']",
  }
  beforeAll(() => d.start(accepting))
  afterAll(() => d.stop())

  test.each([
    ['rsa3072', 'rsapss'],
    ['rsa', 'rsapss'],
    ['ecc521', 'ecdsa'],
  ])('%s signing with %s: delivered, attested again, and the same key after a restart', async (kind, signing) => {
    const machine = await d.machine({ KEYLIME_AGENT_TPM_ENCRYPTION_ALG: kind, KEYLIME_AGENT_TPM_SIGNING_ALG: signing })
    fs.writeFileSync(path.join(d.dir, 'secret.txt'), 'a secret\n')
    const { code, stderr } = await d.tenant('add', '-u', machine.id, '-f', 'secret.txt', '--verify')
    expect(code === 0 ? '' : stderr).toBe('')
    expect(fs.readFileSync(path.join(machine.secure, 'decrypted_payload'), 'utf8')).toBe('a secret\n')
    await machine.service.kill()
    await machine.start()
    const { attestation_count: before } = await d.status(machine)
    await until('attestations after the restart', async () => (await d.status(machine)).attestation_count > before + 2)
    expect(await d.status(machine)).toMatchObject({ attestation_status: 'PASS', sign_alg: signing })
  })

  test('a tenant who does not name RSASSA-PSS refuses it, and says which option would', async () => {
    const machine = d.machines[0]!
    await d.tenant('delete', '-u', machine.id)
    const env = { ...d.environment, KEYLIME_TENANT_ACCEPT_TPM_SIGNING_ALGS: "['rsassa']" }
    const { code, stderr } = await command(KEYLIME, ['tenant', 'add', '-u', machine.id, '-f', 'secret.txt'], env, d.dir)
    expect([code, stderr]).toEqual([3, expect.stringMatching(/rsapss[\s\S]*accept_tpm_signing_algs/)])
  })
})
