import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { loadAgentSettings } from '../../../../../src/roles/agent/agent-settings.ts'
import { readTrust } from '../../../../../src/roles/agent/machine/trust.ts'

describe('the CAs that the agent believes', () => {
  const dir = fs.mkdtempSync(path.join(os.tmpdir(), 'keylime-trust-'))
  fs.writeFileSync(path.join(dir, 'agent.conf'), '[agent]\n')
  afterAll(() => fs.rmSync(dir, { recursive: true, force: true }))
  const trust = (env: Record<string, string> = {}) =>
    readTrust(loadAgentSettings({ KEYLIME_DIR: dir, KEYLIME_AGENT_CONFIG: path.join(dir, 'agent.conf'), ...env }))

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

  test('only those are read that are used', () => {
    fs.mkdirSync(path.join(dir, 'cv_ca'))
    fs.writeFileSync(path.join(dir, 'cv_ca/cacert.crt'), 'PEM')
    expect(trust()).toEqual({ clients: ['PEM'], registrar: [] })
    const other = {
      KEYLIME_AGENT_ENABLE_AGENT_MTLS: 'false',
      KEYLIME_AGENT_PAYLOAD_SCRIPT: '',
      KEYLIME_AGENT_REGISTRAR_TLS_ENABLED: 'true',
    }
    expect(trust(other)).toEqual({ clients: [], registrar: ['PEM'] })
  })
})
