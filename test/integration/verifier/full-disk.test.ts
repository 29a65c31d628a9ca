import { execFileSync } from 'node:child_process'
import fs from 'node:fs'
import path from 'node:path'
import { startVerifier } from '../../../src/roles/verifier/start.ts'
import { loadVerifierSettings } from '../../../src/roles/verifier/verifier-settings.ts'
import { rsaKeyPair } from '../../rsa-keys.ts'
import { adminClient, temporaryKeylimeDir, testLogger, until } from '../../servers.ts'
import { enrolmentBody, simulatedAgent } from '../../simulated-agent.ts'

const asRoot = process.getuid?.() === 0 ? test : test.skip // mounts a small tmpfs

asRoot('a machine that fails while the disk is full is announced as soon as there is room', async () => {
  const home = temporaryKeylimeDir({ KEYLIME_VERIFIER_QUOTE_INTERVAL: '0.05' })
  execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=3m,mode=0700', 'tmpfs', home.dir])
  const verifier = await startVerifier(loadVerifierSettings(home.env), testLogger('verifier'))
  const admin = adminClient(home.dir, verifier.port)
  const agent = await simulatedAgent(fs.readFileSync(path.join(home.dir, 'cv_ca/cacert.crt'), 'utf8'))
  const notices: object[] = []
  agent.onNotification = (envelope) => notices.push(envelope)
  // biome-ignore lint/suspicious/noExplicitAny: the status object as it came
  const status = async (): Promise<any> => (await admin.request('GET', '/v2.6/agents/full')).results
  try {
    const revocation_key = rsaKeyPair().privateKey.export({ format: 'pem', type: 'pkcs8' })
    const tpm_policy = JSON.stringify({ 15: ['0'.repeat(64)], mask: '0x8000' })
    await admin.request('POST', '/v2.6/agents/full', { body: enrolmentBody(agent, { tpm_policy, revocation_key }) })
    await until('attested', async () => (await status()).operational_state === 3)
    const filler = path.join(home.dir, 'filler')
    try {
      fs.writeFileSync(filler, Buffer.alloc(8 << 20))
    } catch {} // until nothing fits any more
    agent.pcrs.set(15, Buffer.alloc(32, 1))
    await until('not trusted', async () => [7, 9].includes((await status()).operational_state))
    expect(notices).toEqual([])
    fs.rmSync(filler)
    await until('announced', () => notices.length > 0)
    expect(await status()).toMatchObject({ operational_state: 9, last_event_id: 'pcr_validation.invalid_pcr_15' })
    expect(notices.length).toBe(1)
  } finally {
    await admin.close()
    await verifier.stop()
    await agent.stop()
    execFileSync('umount', [home.dir])
    home.remove()
  }
})
