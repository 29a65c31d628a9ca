import { execFileSync } from 'node:child_process'
import { X509Certificate } from 'node:crypto'
import fs from 'node:fs'
import path from 'node:path'
import { makeAuthority } from '../../../src/core/pki/issue.ts'
import { makeKeyPair, privateKeyPem, publicKeyPem } from '../../../src/core/pki/keys.ts'
import { parsePublicArea } from '../../../src/core/tpm/public-area.ts'
import { readDeviceKeys } from '../../../src/io/tpm/iak-idevid.ts'
import { openTpm } from '../../../src/io/tpm/open-tpm.ts'
import { AgentBed } from './agent-bed.ts'

const describeAsRoot = process.getuid?.() === 0 ? describe : describe.skip // the agent mounts its tmpfs

describeAsRoot('an agent with device identity keys', () => {
  const bed = new AgentBed()
  const DAY = 86_400_000
  const settings = {
    KEYLIME_AGENT_ENABLE_IAK_IDEVID: 'true',
    KEYLIME_AGENT_IAK_IDEVID_TEMPLATE: 'H-2',
    KEYLIME_AGENT_EXPONENTIAL_BACKOFF_MAX_RETRIES: '0',
  }

  beforeAll(async () => {
    // The maker of the machine: certifies IAK and IDevID, and the registrar trusts it.
    const store = path.join(bed.place.dir, 'tpm_cert_store')
    fs.mkdirSync(store)
    const pair = await makeKeyPair({ type: 'ecdsa' })
    const validity = { notBefore: Date.now() - DAY, notAfter: Date.now() + DAY, crlUrl: '' }
    const maker = await makeAuthority({ ...validity, ...pair, serial: 1n, subject: [{ oid: '2.5.4.3', value: 'Maker' }] })
    fs.writeFileSync(path.join(store, 'maker.pem'), maker.pem)
    await bed.startServers()
    const tpm = await openTpm({ tcti: bed.tpm.tcti })
    const kind = { type: 'ecc', nameAlg: 'sha256', handle: undefined, auth: Buffer.alloc(0) } as const
    const keys = await readDeviceKeys(tpm, kind, kind)
    tpm.close()
    fs.writeFileSync(path.join(store, 'maker.key'), privateKeyPem(pair.privateKey))
    for (const [name, area] of Object.entries(keys)) {
      const certificate = makersCertificate(store, name, publicKeyPem(parsePublicArea(area).key))
      fs.writeFileSync(path.join(bed.agentDir, `${name}-cert.crt`), name === 'iak' ? certificate : derOf(certificate))
    }
    fs.rmSync(path.join(store, 'maker.key'))
  })
  afterAll(() => bed.stop())

  test('registers: the registrar checks their certificates and that the IAK certified the AK', async () => {
    await bed.startAgent(settings)
    expect((await bed.get('/version')).status).toBe(200)
    await bed.stopAgent()
  })

  test('is refused with keys of another template than its certificates', async () => {
    await expect(
      bed.startAgent({ ...settings, KEYLIME_AGENT_IAK_IDEVID_TEMPLATE: 'H-1', KEYLIME_AGENT_UUID: 'other' }),
    ).rejects.toMatchObject({
      code: 'invalid_request',
    })
  })

  test('without a certificate file says which is missing', async () => {
    fs.rmSync(path.join(bed.agentDir, 'idevid-cert.crt'))
    await expect(bed.startAgent(settings)).rejects.toMatchObject({ code: 'config_invalid', message: expect.stringMatching(/idevid-cert/) })
  })
})

const derOf = (pem: string) => new X509Certificate(pem).raw

/** As makers issue them: with a HardwareModuleName (RFC 4108) that names a TPM 2.0. */
function makersCertificate(directory: string, name: string, publicKey: string): string {
  const [config, key] = [path.join(directory, 'extensions'), path.join(directory, 'public')] as const
  const module = '[module]\ntype=OID:2.23.133.1.2\nserial=OCT:12345678\n'
  fs.writeFileSync(config, `[san]\nsubjectAltName=otherName:1.3.6.1.5.5.7.8.4;SEQUENCE:module\n${module}`)
  fs.writeFileSync(key, publicKey)
  const authority = ['-CA', `${directory}/maker.pem`, '-CAkey', `${directory}/maker.key`]
  const args = [
    'x509',
    '-new',
    '-force_pubkey',
    key,
    '-subj',
    `/CN=${name}`,
    '-days',
    '1',
    '-extfile',
    config,
    '-extensions',
    'san',
    ...authority,
  ]
  const certificate = execFileSync('openssl', args, { encoding: 'utf8' })
  for (const file of [config, key]) fs.rmSync(file)
  return certificate
}
