import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { loadAgentSettings } from '../../../../src/roles/agent/agent-settings.ts'

let directory: string
beforeEach(() => {
  directory = fs.mkdtempSync(path.join(os.tmpdir(), 'keylime-settings-'))
})
afterEach(() => fs.rmSync(directory, { recursive: true }))

function load(text: string, env: Record<string, string> = {}) {
  const file = path.join(directory, 'agent.conf')
  fs.writeFileSync(file, text)
  return loadAgentSettings({ KEYLIME_AGENT_CONFIG: file, KEYLIME_DIR: directory, ...env })
}

test("the Rust agent's TOML is understood", () => {
  const { values, paths, apiVersions, ak, warnings } = load(`
# comment
[agent]
version = "2.4"
uuid = "hash_ek"
port = 9010
tpm_encryption_alg = "ecc"
tpm_signing_alg = "ecdsa"
trusted_client_ca = ["a.crt", "/b.crt"]
payload_key = "default"
extract_payload_zip = false
api_versions = "2.5, 2.6, 9.9"
ek_handle = ""
`)
  expect(values).toMatchObject({ uuid: 'hash_ek', port: 9010, extract_payload_zip: false, ek_handle: undefined })
  expect(paths.trustedClientCa).toEqual([path.join(directory, 'a.crt'), '/b.crt'])
  expect(paths.payloadKey).toBe(path.join(directory, 'payload-private.pem'))
  expect(apiVersions).toEqual(['2.5', '2.6'])
  expect(ak).toEqual({ kind: 'ecc256', hash: 'sha256', signing: 'ecdsa' })
  expect(warnings).toEqual(['api_versions: 9.9 is not supported and left out'])
})

test("the Python agent's ini is understood, its own options included", () => {
  const { values, warnings } = load(`
[agent]
uuid = d432fbb3-d2f1-4a97-9ef7-75bd81c00001
tls_dir = default
trusted_client_ca = ['default']
revocation_actions = []
measure_payload_pcr = -1
exponential_backoff = True
retry_interval = 2
max_retries = 4
secure_size = 2m
run_as =
enable_agent_mtls = True
`)
  expect(values).toMatchObject({ uuid: 'd432fbb3-d2f1-4a97-9ef7-75bd81c00001', revocation_actions: [], secure_size: '2m', run_as: '' })
  expect(warnings).toEqual([])
})

test('the environment wins, and a large tmpfs allows large requests', () => {
  const settings = load('[agent]\nsecure_size = "1m"\n', { KEYLIME_AGENT_SECURE_SIZE: '32m', KEYLIME_AGENT_EK_HANDLE: '0x81010001' })
  expect(settings.maxPayloadBody).toBe(64 << 20)
  expect(settings.values.ek_handle).toBe(0x81010001)
  expect(load('[agent]\n').maxPayloadBody).toBe(2 << 20)
})

test('all bad values are reported at once, with file and line', () => {
  const wrong =
    '[agent]\nport = 99999\ndec_payload_file = "../x"\nsecure_size = "1m,exec"\nek_handle = "0x80000000"\ntpm_hash_alg = "md5"\n'
  expect(() => load(wrong)).toThrow(/agent.conf:2: port.*agent.conf:3: dec_payload_file.*agent.conf:4: .*agent.conf:6: .*agent.conf:5: /s)
})

test.each([
  ['tpm_signing_alg = "ecdsa"', /cannot sign/],
  ['enable_agent_mtls = false', /without TLS/],
  ['tpm_ownerpassword = "hex:abc"', /hexadecimal/],
])('%s does not go together with the rest', (line, message) => {
  expect(() => load(`[agent]\n${line}\n`)).toThrow(message)
})

test.each([
  ['tpm_ownerpassword = "secret"', Buffer.from('secret')],
  ['tpm_ownerpassword = "hex:00ff"', Buffer.from([0, 255])],
])('%s gives its bytes', (line, bytes) => {
  expect(load(`[agent]\n${line}\n`).ownerAuth).toEqual(bytes)
})

describe('an agent that brings its evidence', () => {
  test('listens nowhere by an empty ip, by its mode, or by a command line; a verifier_url alone changes nothing', () => {
    expect(load('[agent]\nip = ""\n').push).toEqual({ verifierUrl: 'https://localhost:8881', timeoutMs: 5000, contact: null })
    expect(load('[agent]\nmode = "push"\nverifier_url = "https://v:1"\n').push).toMatchObject({ verifierUrl: 'https://v:1' })
    expect(load('[agent]\nverifier_url = "https://v:1"\n').push).toBeNull()
    const env = { KEYLIME_AGENT_CONFIG: path.join(directory, 'agent.conf'), KEYLIME_DIR: directory }
    expect(loadAgentSettings(env, { push: true, timeoutMs: 700 }).push).toMatchObject({ verifierUrl: 'https://v:1', timeoutMs: 700 })
  })

  test('registers an address only where somebody has said one, and with the versions that are for its registrar', () => {
    const { push, apiVersions } = load('[agent]\nip = ""\ncontact_ip = "10.0.0.7"\nregistrar_api_versions = "2.3"\napi_versions = "2.6"\n')
    expect(push!.contact).toEqual({ ip: '10.0.0.7', port: 9002 })
    expect(apiVersions).toEqual(['2.3'])
  })

  test('starts without mutual TLS to serve with, and is told that the option changes nothing', () => {
    const { warnings, push } = load('[agent]\nip = ""\nenable_agent_mtls = false\n')
    expect([push !== null, warnings.filter((text) => text.includes('enable_agent_mtls'))]).toEqual([
      true,
      [expect.stringMatching(/changes nothing: this agent does not listen/)],
    ])
    expect(load('[agent]\nip = ""\n').warnings).toEqual([])
  })

  test.each([
    ['mode = "pull"\nip = ""', /mode = pull, but no ip on which the agent listens/],
    ['ip = ""\nverifier_url = ""', /no verifier_url says where/],
    ['ip = ""\nverifier_url = "http://v:8881"', /must be an https URL/],
    ['ip = ""\nverifier_url = "https://user@v:8881"', /must be an https URL/],
    ['ip = ""\nverifier_url = "verifier:8881"', /must be an https URL/],
    ['mode = "both"', /must be one of: default, pull, push/],
  ])('refused: %s', (text, words) => {
    expect(() => load(`[agent]\n${text}\n`)).toThrow(words)
  })
})
