import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { silentLogger } from '../../../../../src/io/log/logger.ts'
import { loadAgentSettings } from '../../../../../src/roles/agent/agent-settings.ts'
import { checkTrust, readTrust } from '../../../../../src/roles/agent/machine/trust.ts'
import { root } from '../../../core/pki/fixtures.ts'

describe('the CAs that the agent believes', () => {
  const dir = fs.mkdtempSync(path.join(os.tmpdir(), 'keylime-trust-'))
  fs.writeFileSync(path.join(dir, 'agent.conf'), '[agent]\n')
  afterAll(() => fs.rmSync(dir, { recursive: true, force: true }))
  const trust = (env: Record<string, string> = {}) =>
    readTrust(loadAgentSettings({ KEYLIME_DIR: dir, KEYLIME_AGENT_CONFIG: path.join(dir, 'agent.conf'), ...env }), silentLogger)

  test('one that is missing is named, with the option and what to do', () => {
    expect(() => trust()).toThrow(/^trusted_client_ca: cannot read .*cv_ca\/cacert\.crt: /)
    try {
      trust()
    } catch (error) {
      expect(error).toMatchObject({
        code: 'config_invalid',
        hint: expect.stringContaining("copy cv_ca/cacert.crt from the verifier's machine"),
      })
    }
  })

  test('of an agent that brings its evidence: the verifier’s and the registrar’s, and none of who might call', async () => {
    const { certificate } = await root()
    const file = path.join(dir, 'verifier.crt')
    fs.writeFileSync(file, certificate.pem)
    const push = { KEYLIME_AGENT_IP: '', KEYLIME_AGENT_VERIFIER_TLS_CA_CERT: file }
    expect(trust(push)).toMatchObject({ clients: null, registrar: [], verifier: [certificate.pem] })
    expect(trust({ ...push, KEYLIME_AGENT_TLS_ACCEPT_INVALID_CERTS: 'true' })).toMatchObject({ verifier: [] })
    expect(() => trust({ KEYLIME_AGENT_IP: '' })).toThrow(/^verifier_tls_ca_cert: cannot read .*cv_ca\/cacert\.crt: /)
  })

  test('of an agent that brings its evidence operators are believed where their CA is there; a check says that it is not', async () => {
    const { certificate } = await root()
    const file = path.join(dir, 'verifier.crt')
    fs.writeFileSync(file, certificate.pem)
    const push = { KEYLIME_AGENT_IP: '', KEYLIME_AGENT_VERIFIER_TLS_CA_CERT: file }
    expect(trust(push).operators).toBeNull()
    const known = trust({ ...push, KEYLIME_AGENT_TRUSTED_CLIENT_CA: file })
    expect(known.clients).toBeNull()
    expect(known.operators!.trust().authorities.map(({ pem }) => pem)).toEqual([certificate.pem])
    const found = { warnings: [] as string[], problems: [] as string[] }
    checkTrust(loadAgentSettings({ KEYLIME_DIR: dir, KEYLIME_AGENT_CONFIG: path.join(dir, 'agent.conf'), ...push }), found as never)
    expect(found.warnings).toContainEqual(expect.stringContaining('so payloads will be refused (copy cv_ca/cacert.crt'))
  })

  test('only those are read that are used', async () => {
    fs.mkdirSync(path.join(dir, 'cv_ca'))
    const { certificate } = await root()
    fs.writeFileSync(path.join(dir, 'cv_ca/cacert.crt'), certificate.pem)
    expect(trust()).toMatchObject({ clients: { ca: [certificate.pem] }, registrar: [] })
    const other = {
      KEYLIME_AGENT_ENABLE_AGENT_MTLS: 'false',
      KEYLIME_AGENT_PAYLOAD_SCRIPT: '',
      KEYLIME_AGENT_REGISTRAR_TLS_ENABLED: 'true',
    }
    expect(trust(other)).toMatchObject({ clients: null, registrar: [certificate.pem] })
  })

  test.each([
    ['no certificate at all', 'PEM', undefined, /trusted_client_ca: .*cacert\.crt cannot be used: not an X\.509 certificate/],
    ['a list that is none', undefined, 'no list', /trusted_client_crl: .*cacrl\.der cannot be used/],
  ])('%s is refused at the start', async (_, authority, list, message) => {
    fs.writeFileSync(path.join(dir, 'cv_ca/cacert.crt'), authority ?? (await root()).certificate.pem)
    if (list) fs.writeFileSync(path.join(dir, 'cv_ca/cacrl.der'), list)
    expect(() => trust()).toThrow(message)
  })
})
