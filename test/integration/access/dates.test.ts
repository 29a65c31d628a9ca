import fs from 'node:fs'
import path from 'node:path'
import { withAuthority } from '../../../src/authority/open-authority.ts'
import { servicePassword } from '../../../src/authority/service-password.ts'
import { ensureTlsDirectory } from '../../../src/authority/tls-directory.ts'
import { caOptions, caSettings } from '../../../src/config/ca.ts'
import { loadConfig } from '../../../src/config/load.ts'
import { parseCertificate } from '../../../src/core/pki/certificate.ts'
import { loadAgentSettings } from '../../../src/roles/agent/agent-settings.ts'
import { checkAgent } from '../../../src/roles/agent/check-agent.ts'
import { checkRegistrar } from '../../../src/roles/registrar/check-registrar.ts'
import { loadRegistrarSettings } from '../../../src/roles/registrar/registrar-settings.ts'
import { checkTenant } from '../../../src/roles/tenant/check-tenant.ts'
import { withTenant } from '../../../src/roles/tenant/start.ts'
import { loadTenantSettings } from '../../../src/roles/tenant/tenant-settings.ts'
import { checkVerifier } from '../../../src/roles/verifier/check-verifier.ts'
import { startVerifier } from '../../../src/roles/verifier/start.ts'
import { loadVerifierSettings } from '../../../src/roles/verifier/verifier-settings.ts'
import { giveNotifierKey } from '../../rsa-keys.ts'
import { adminClient, temporaryKeylimeDir } from '../../servers.ts'
import { walk } from '../../thorough.ts'
import { openssl, recordingLogger } from '../ca/listener-bed.ts'

const DAY_MS = 86_400_000
let home: ReturnType<typeof temporaryKeylimeDir>
const file = (name: string) => path.join(home.dir, 'cv_ca', name)
const own = { KEYLIME_VERIFIER_TLS_DIR: 'default' }
const verifierSettings = (env: object = {}) => loadVerifierSettings({ ...home.env, ...env })

beforeEach(() => {
  home = temporaryKeylimeDir()
  giveNotifierKey(home.dir)
})
afterEach(() => home.remove())

/** What `tls_dir = generate` made so many days ago. */
async function madeBefore(days: number): Promise<void> {
  const now = () => Date.now() - days * DAY_MS
  const settings = caSettings(loadConfig('ca', caOptions, { env: home.env }).values)
  const passwords = { caPassword: 'default', serverKeyPassword: '', clientKeyPassword: '' }
  await ensureTlsDirectory({ role: 'verifier', keylimeDir: home.dir, tlsDir: 'generate', names: [], settings, ...passwords, now })
}

test('before anything is made there is nothing to check', async () => {
  expect(await checkVerifier(verifierSettings())).toEqual({ problems: [], warnings: [] })
  expect(await checkRegistrar(loadRegistrarSettings(home.env))).toEqual({ problems: [], warnings: [] })
})

test('--check-config refuses certificates that have ended or are not valid yet, and warns of those that end soon', async () => {
  await madeBefore(400)
  expect((await checkVerifier(verifierSettings(own))).problems).toEqual([
    expect.stringMatching(/server_cert: .*server-cert\.crt ended on 20/),
    expect.stringMatching(/client_cert: .*client-cert\.crt ended on 20/),
  ])
  expect((await checkRegistrar(loadRegistrarSettings(home.env))).problems).toEqual([expect.stringContaining('server-cert.crt ended on')])
  expect((await checkTenant(loadTenantSettings(home.env))).problems).toEqual([expect.stringContaining('client-cert.crt ended on')])
  expect(await checkVerifier(verifierSettings())).toEqual({
    problems: [],
    warnings: [expect.stringContaining('; the start makes another'), expect.stringContaining('client-cert.crt ended on')],
  })
  fs.rmSync(path.join(home.dir, 'cv_ca'), { recursive: true })
  await madeBefore(-2)
  expect((await checkVerifier(verifierSettings(own))).problems).toContainEqual(expect.stringContaining('is not valid before'))
  fs.rmSync(path.join(home.dir, 'cv_ca'), { recursive: true })
  await madeBefore(340)
  expect(await checkVerifier(verifierSettings(own))).toEqual({
    problems: [],
    warnings: [expect.stringMatching(/server-cert\.crt ends on .* in 2[45] days/), expect.any(String)],
  })
})

test('an agent’s --check-config sees that a CA has ended, and a list that is none', async () => {
  await madeBefore(3700)
  const agent = () => checkAgent(loadAgentSettings({ ...home.env, KEYLIME_AGENT_REGISTRAR_PORT: '1' }))
  expect((await agent()).problems).toEqual([expect.stringMatching(/trusted_client_ca: .*cacert\.crt ended on/)])
  fs.rmSync(path.join(home.dir, 'cv_ca'), { recursive: true })
  await madeBefore(0)
  expect(await agent()).toEqual({ problems: [], warnings: [] })
  fs.writeFileSync(file('cacrl.der'), 'x')
  expect((await agent()).problems).toEqual([expect.stringContaining('trusted_client_crl')])
})

walk('a verifier whose own certificate has ended says so, and serves; with tls_dir = generate it makes another', async () => {
  await madeBefore(400)
  const log = recordingLogger()
  const verifier = await startVerifier(verifierSettings(own), log.logger)
  await verifier.stop()
  expect(log.lines.filter((line) => /^error (server|client)_cert: .* ended on/.test(line))).toHaveLength(2)
  const again = await startVerifier(verifierSettings(), log.logger)
  const client = adminClient(home.dir, again.port)
  expect((await client.request('GET', '/v2.6/agents/')).status).toBe(200)
  await client.close()
  await again.stop()
})

test('a tenant whose certificate has ended says so before it asks anybody', async () => {
  await madeBefore(400)
  const options = { command: 'cvlist', wait: false, timeoutSeconds: 1 } as const
  await expect(
    withTenant({ options: options as never, settings: loadTenantSettings(home.env), report: () => {} }, async () => undefined),
  ).rejects.toMatchObject({
    code: 'tls_failed',
    message: expect.stringMatching(/client-cert\.crt ended on/),
    hint: expect.stringContaining('keylime ca operator'),
  })
})

test('OpenSSL in its strict mode takes each certificate for its own side, and for no other', async () => {
  await madeBefore(0)
  const verify = (purpose: string, name: string) => {
    try {
      return openssl('verify', '-x509_strict', '-purpose', purpose, '-CAfile', file('cacert.crt'), file(`${name}-cert.crt`)).includes('OK')
    } catch {
      return false
    }
  }
  expect(['sslserver', 'sslclient'].map((purpose) => ['server', 'client'].map((name) => verify(purpose, name)))).toEqual([
    [true, false],
    [false, true],
  ])
  const text = openssl('x509', '-in', file('client-cert.crt'), '-noout', '-ext', 'extendedKeyUsage,subjectAltName')
  expect(text).toMatch(/critical\s+TLS Web Client Authentication\n/)
  expect(text).toContain('URI:urn:keylime:role:operator')
  const directory = path.join(home.dir, 'cv_ca')
  const access = {
    directory,
    password: await servicePassword(directory, 'default'),
    settings: verifierSettings().ca.settings,
    now: Date.now,
  }
  const machine = await withAuthority(access, (authority) => authority.issue({ name: 'machine' }))
  expect(parseCertificate(machine.certificate.pem).extensions.has('2.5.29.37')).toBe(false)
  expect([verify('sslserver', 'machine'), verify('sslclient', 'machine')]).toEqual([true, true])
})
