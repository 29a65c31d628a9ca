import { execFileSync } from 'node:child_process'
import { X509Certificate } from 'node:crypto'
import fs from 'node:fs'
import path from 'node:path'
import { makeAuthority } from '../../../src/core/pki/issue.ts'
import { makeKeyPair, privateKeyPem, publicKeyPem } from '../../../src/core/pki/keys.ts'
import { parsePublicArea } from '../../../src/core/tpm/public-area.ts'
import { type DeviceKeyOptions, readDeviceKeys } from '../../../src/io/tpm/iak-idevid.ts'
import { openTpm } from '../../../src/io/tpm/open-tpm.ts'
import { AgentBed } from './agent-bed.ts'

const DAY_MS = 86_400_000
const describeAsRoot = process.getuid?.() === 0 ? describe : describe.skip // the agent mounts its tmpfs

describeAsRoot('an agent with device identity keys', () => {
  const bed = new AgentBed()
  const settings = {
    KEYLIME_AGENT_ENABLE_IAK_IDEVID: 'true',
    KEYLIME_AGENT_IAK_IDEVID_TEMPLATE: 'H-2',
    KEYLIME_AGENT_EXPONENTIAL_BACKOFF_MAX_RETRIES: '0',
  }

  beforeAll(async () => {
    const makersKey = await makeMaker(bed)
    await bed.startServers()
    const kind = { type: 'ecc', nameAlg: 'sha256', handle: undefined, auth: Buffer.alloc(0) } as const
    await certifyDeviceKeys(bed, makersKey, [kind, kind])
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

describeAsRoot('an agent whose device identity keys the maker left in the TPM, with passwords', () => {
  const bed = new AgentBed()
  const settings = {
    KEYLIME_AGENT_ENABLE_IAK_IDEVID: 'true',
    KEYLIME_AGENT_IAK_HANDLE: '0x81010010',
    KEYLIME_AGENT_IAK_PASSWORD: 'password of the IAK',
    KEYLIME_AGENT_IDEVID_HANDLE: '0x81010011',
    KEYLIME_AGENT_IDEVID_PASSWORD: 'hex:00ff10',
    KEYLIME_AGENT_EXPONENTIAL_BACKOFF_MAX_RETRIES: '0',
  }

  beforeAll(async () => {
    const makersKey = await makeMaker(bed)
    await bed.startServers()
    persistKey(bed, 'restricted|sign', settings.KEYLIME_AGENT_IAK_PASSWORD, settings.KEYLIME_AGENT_IAK_HANDLE)
    persistKey(bed, 'sign', settings.KEYLIME_AGENT_IDEVID_PASSWORD, settings.KEYLIME_AGENT_IDEVID_HANDLE)
    const kind = { type: 'ecc', nameAlg: 'sha256', auth: Buffer.alloc(0) } as const
    await certifyDeviceKeys(bed, makersKey, [
      { ...kind, handle: 0x81010010 },
      { ...kind, handle: 0x81010011 },
    ])
  })
  afterAll(() => bed.stop())

  test('registers: the registrar believes the AK that the IAK at its handle certified', async () => {
    await bed.startAgent(settings)
    expect((await bed.get('/version')).status).toBe(200)
    await bed.stopAgent()
  })

  test('does not register with a wrong password of the IAK', async () => {
    const wrong = { ...settings, KEYLIME_AGENT_IAK_PASSWORD: 'guessed' }
    await expect(bed.startAgent(wrong)).rejects.toMatchObject({ code: 'tpm_failed' })
  })

  test('does not register when nothing is at the handle', async () => {
    const empty = { ...settings, KEYLIME_AGENT_IAK_HANDLE: '0x81010012' }
    await expect(bed.startAgent(empty)).rejects.toMatchObject({ code: 'tpm_failed' })
  })
})

/** As the maker does it: a key of the endorsement hierarchy that stays, and that its password guards. */
function persistKey(bed: AgentBed, usage: string, password: string, handle: string): void {
  const context = path.join(bed.place.dir, 'key.ctx')
  const run = (program: string, ...args: string[]) =>
    execFileSync(program, args, { env: { ...process.env, TPM2TOOLS_TCTI: bed.tpm.tcti }, stdio: 'pipe' })
  const attributes = `fixedtpm|fixedparent|sensitivedataorigin|userwithauth|${usage}`
  run('tpm2_createprimary', '-C', 'e', '-g', 'sha256', '-G', 'ecc256:ecdsa-sha256:null', '-a', attributes, '-p', password, '-c', context)
  run('tpm2_evictcontrol', '-C', 'o', '-c', context, handle)
  run('tpm2_flushcontext', '-t')
}

/** The maker of the machine, whom the registrar trusts from its start. @returns its key, PEM. */
async function makeMaker(bed: AgentBed): Promise<string> {
  const store = path.join(bed.place.dir, 'tpm_cert_store')
  fs.mkdirSync(store)
  const pair = await makeKeyPair({ type: 'ecdsa' })
  const validity = { notBefore: Date.now() - DAY_MS, notAfter: Date.now() + DAY_MS, crlUrl: '' }
  const maker = await makeAuthority({ ...validity, givesRoles: false, ...pair, serial: 1n, subject: [{ oid: '2.5.4.3', value: 'Maker' }] })
  fs.writeFileSync(path.join(store, 'maker.pem'), maker.pem)
  return privateKeyPem(pair.privateKey)
}

/** The maker certifies IAK and IDevID. */
async function certifyDeviceKeys(bed: AgentBed, makersKey: string, [iak, idevid]: [DeviceKeyOptions, DeviceKeyOptions]): Promise<void> {
  const store = path.join(bed.place.dir, 'tpm_cert_store')
  const tpm = await openTpm({ tcti: bed.tpm.tcti })
  const keys = await readDeviceKeys(tpm, iak, idevid)
  tpm.close()
  fs.writeFileSync(path.join(store, 'maker.key'), makersKey)
  for (const [name, area] of Object.entries(keys)) {
    const certificate = makersCertificate(store, name, publicKeyPem(parsePublicArea(area).key))
    fs.writeFileSync(path.join(bed.agentDir, `${name}-cert.crt`), name === 'iak' ? certificate : derOf(certificate))
  }
  fs.rmSync(path.join(store, 'maker.key'))
}

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
