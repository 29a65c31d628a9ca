import fs from 'node:fs'
import path from 'node:path'
import { withAuthority } from '../../../src/authority/open-authority.ts'
import { servicePasswordFile } from '../../../src/authority/service-password.ts'
import { caOptions, caSettings } from '../../../src/config/ca.ts'
import { loadConfig } from '../../../src/config/load.ts'
import { freePorts, until } from '../../servers.ts'
import { WholeBed } from '../../whole-bed.ts'

const EAGER = { ofPeer: { perSecond: 20, burst: 1 }, ofAll: { perSecond: 100, burst: 20 } }
const describeAsRoot = process.getuid?.() === 0 ? describe : describe.skip // the agent mounts its tmpfs

describeAsRoot('a verifier whose client certificate has the role of verifiers', () => {
  const bed = new WholeBed(20, { KEYLIME_VERIFIER_FOLLOW_ADDRESS: 'true' })
  beforeAll(() => bed.start({ askAddresses: EAGER }))
  afterAll(() => bed.stop())

  test('attests, brings V, tells of revocations, and finds where a machine has gone to; without an operator’s certificate', async () => {
    const settings = caSettings(loadConfig('ca', caOptions, { env: bed.home.env }).values)
    const password = fs.readFileSync(servicePasswordFile(bed.path('cv_ca')), 'utf8').trim()
    const access = { directory: bed.path('cv_ca'), password, settings, now: Date.now }
    const { certificate, privateKeyPem: key } = await withAuthority(access, (authority) =>
      authority.issue({ name: 'verifier', role: 'verifier' }),
    )
    fs.writeFileSync(bed.path('verifier-client.crt'), certificate.pem)
    fs.writeFileSync(bed.path('verifier-client.pem'), key!, { mode: 0o600 })
    await bed.verifier.stop()
    Object.assign(bed.home.env, {
      KEYLIME_VERIFIER_CLIENT_CERT: bed.path('verifier-client.crt'),
      KEYLIME_VERIFIER_CLIENT_KEY: bed.path('verifier-client.pem'),
    })
    await bed.startVerifier()
    const [one, other] = [await bed.machine('one'), await bed.machine('other')]
    const file = bed.path('payload')
    fs.writeFileSync(file, 'the secret')
    const tpmPolicy = JSON.stringify({ 15: ['0'.repeat(64)] })
    await bed.tenant('add', { agentId: one.id, tpmPolicy, file })
    await bed.tenant('add', { agentId: other.id, tpmPolicy, file, sealed: true })
    for (const { dir } of [one, other]) {
      const delivered = path.join(dir, 'secure/decrypted_payload')
      await until(delivered, () => fs.existsSync(delivered) && fs.readFileSync(delivered, 'utf8') === 'the secret', 20)
    }
    await one.stop()
    ;[one.port] = (await freePorts(1)) as [number]
    await one.start()
    await until('the new address', async () => (await bed.status(one)).port === one.port, 20)
    await bed.inState(one, 3)
    bed.log.length = 0
    await other.tpm.extendPcr(15, Buffer.alloc(32, 1))
    const told = () => bed.log.some(({ role, text }) => role === 'one' && /other was revoked/.test(text))
    await until('the other machine to be told', told, 20)
  })
})
