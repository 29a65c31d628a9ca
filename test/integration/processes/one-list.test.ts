import fs from 'node:fs'
import path from 'node:path'
import { loadAgentSettings, readAgentSettings } from '../../../src/roles/agent/agent-settings.ts'
import { checkAgent } from '../../../src/roles/agent/check-agent.ts'
import { checkCa } from '../../../src/roles/ca/check-ca.ts'
import { openCa } from '../../../src/roles/ca/open-ca.ts'
import { checkRegistrar } from '../../../src/roles/registrar/check-registrar.ts'
import { readRegistrarSettings } from '../../../src/roles/registrar/registrar-settings.ts'
import { checkTenant } from '../../../src/roles/tenant/check-tenant.ts'
import { loadTenantSettings, readTenantSettings } from '../../../src/roles/tenant/tenant-settings.ts'
import { checkVerifier } from '../../../src/roles/verifier/check-verifier.ts'
import { loadVerifierSettings, readVerifierSettings } from '../../../src/roles/verifier/verifier-settings.ts'
import { temporaryKeylimeDir } from '../../servers.ts'

const place = temporaryKeylimeDir()
afterAll(() => place.remove())
const file = (name: string, text: string) => {
  fs.writeFileSync(path.join(place.dir, name), text)
  return path.join(place.dir, name)
}

/** Each file has faults, and so have certificates and directories. */
const env = {
  ...place.env,
  KEYLIME_VERIFIER_CONFIG: file(
    'v.conf',
    '[verifier]\nmax_retries = high\nquote_interval = often\nmeasured_boot_policy_name = none\ntls_dir = tls\n',
  ),
  KEYLIME_REGISTRAR_CONFIG: file('r.conf', '[registrar]\nmalformed_cert_action = high\ntls_dir = /nowhere\n'),
  KEYLIME_TENANT_CONFIG: file('t.conf', '[tenant]\nverifier_port = x\nregistrar_port = y\nek_check_script = /nowhere/script\n'),
  KEYLIME_CA_CONFIG: file('ca.conf', '[ca]\ncert_bits = x\npassword_file = /nowhere/password\n'),
  KEYLIME_AGENT_CONFIG: file(
    'a.conf',
    '[agent]\nport = 99999999\ntpm_signing_alg = "ecdsa"\ntpm_ownerpassword = "hex:0"\ntrusted_client_ca = ["/nowhere/a.crt", "/nowhere/b.crt"]\n',
  ),
  KEYLIME_VERIFIER_AUDIT_LOG: '/nowhere/audit.log',
  KEYLIME_VERIFIER_REVOCATIONS_ENABLED_REVOCATION_NOTIFICATIONS: "['webhook']",
}
fs.mkdirSync(path.join(place.dir, 'tls'))
file('tls/server-cert.crt', '')
fs.chmodSync(file('tls/server-private.pem', 'nonsense'), 0o600)
file('tls/client-cert.crt', 'nonsense')

test('--check-config tells in one list what is wrong with all files of a role', async () => {
  const verifier = readVerifierSettings(env)
  expect((await checkVerifier(verifier.settings, verifier.problems)).problems).toEqual(
    [
      /v\.conf:2: max_retries = "high"/,
      /v\.conf:3: quote_interval = "often"/,
      /ca\.conf:2: cert_bits = "x"/,
      /measured_boot_policy_name = none/,
      /webhook is enabled/,
      /server_cert: .*server-cert\.crt holds no certificate/,
      /server_key: .*server-private\.pem holds no private key/,
      /trusted_client_ca: cannot read/,
      /client_key: cannot read .*client-private\.pem/,
      /client_cert: .*client-cert\.crt holds no certificate/,
      /trusted_server_ca: cannot read/,
      /audit_log = \/nowhere/,
    ].map((words) => expect.stringMatching(words)),
  )
})

test.each([
  [
    'registrar',
    async () => {
      const { settings, problems } = readRegistrarSettings(env)
      return checkRegistrar(settings, problems)
    },
    [/r\.conf:2/, /ca\.conf:2/, /t\.conf:2/, /t\.conf:3/, /tls_dir of the registrar is \/nowhere/],
  ],
  [
    'tenant',
    async () => {
      const { settings, problems } = readTenantSettings(env)
      return checkTenant(settings, problems)
    },
    [/t\.conf:2/, /t\.conf:3/, /ca\.conf:2/, /ek_check_script: there is no \/nowhere/],
  ],
  [
    'ca',
    async () => checkCa(openCa({ directory: undefined, passwordFile: undefined, tolerant: true }, env)),
    [/ca\.conf:2/, /password_file: cannot read \/nowhere/],
  ],
  [
    'agent',
    async () => {
      const { settings, problems } = readAgentSettings(env)
      return checkAgent(settings, problems)
    },
    [/a\.conf:2: port/, /cannot sign with ecdsa/, /tpm_ownerpassword begins with "hex:"/, /\/nowhere\/a\.crt/, /\/nowhere\/b\.crt/],
  ],
] as const)('so does that of the %s', async (_, check, words) => {
  expect((await check()).problems).toEqual(words.map((word) => expect.stringMatching(word)))
})

test('a start refuses them in one list, too', () => {
  expect(() => loadVerifierSettings(env)).toThrow(/3 settings[\s\S]*v\.conf:2[\s\S]*v\.conf:3[\s\S]*ca\.conf:2/)
  expect(() => loadTenantSettings(env)).toThrow(/3 settings[\s\S]*t\.conf:2[\s\S]*ca\.conf:2/)
  expect(() => loadAgentSettings(env)).toThrow(/3 settings[\s\S]*a\.conf:2[\s\S]*ecdsa[\s\S]*hex:/)
})

test('a configuration file that cannot be read is told beside what the others say', () => {
  const unreadable = path.join(place.dir, 'gone.conf')
  fs.symlinkSync('/proc/self/mem', unreadable) // a file, and no user may read it from the start
  expect(() => loadVerifierSettings({ ...env, KEYLIME_CA_CONFIG: unreadable })).toThrow(
    /3 settings[\s\S]*v\.conf:3[\s\S]*gone\.conf: cannot be read/,
  )
})
