import { readPushCommandLine } from '../../../../src/roles/agent/upstream-push.ts'

test('upstream’s options are settings in place of the configuration’s', () => {
  const line = '-v https://v:8881 --ca-certificate /ca.crt --agent-identifier=abc --attestation-interval-seconds 5 --timeout 900 --insecure'
  expect(readPushCommandLine(line.split(' '))).toEqual({
    env: {
      KEYLIME_AGENT_VERIFIER_URL: 'https://v:8881',
      KEYLIME_AGENT_VERIFIER_TLS_CA_CERT: '/ca.crt',
      KEYLIME_AGENT_UUID: 'abc',
      KEYLIME_AGENT_ATTESTATION_INTERVAL_SECONDS: '5',
      KEYLIME_AGENT_TLS_ACCEPT_INVALID_CERTS: 'true',
    },
    given: { push: true, timeoutMs: 900 },
    passedOver: [],
    wantsHelp: false,
  })
})

test('the registrar’s URL counts, which upstream’s agent reads and forgets', () => {
  expect(readPushCommandLine(['--registrar-url', 'http://10.0.0.1:8890']).env).toEqual({
    KEYLIME_AGENT_REGISTRAR_IP: '10.0.0.1',
    KEYLIME_AGENT_REGISTRAR_TLS_ENABLED: 'false',
    KEYLIME_AGENT_REGISTRAR_PORT: '8890',
  })
  expect(readPushCommandLine(['--registrar-url=https://[::1]:8891']).env).toMatchObject({
    KEYLIME_AGENT_REGISTRAR_IP: '::1',
    KEYLIME_AGENT_REGISTRAR_TLS_ENABLED: 'true',
    KEYLIME_AGENT_REGISTRAR_TLS_PORT: '8891',
  })
})

test('what has no effect, or is not known, is passed over as upstream’s parser does, and told', () => {
  const { env, passedOver } = readPushCommandLine([
    '--api-version',
    'v3.0',
    '--unknown',
    '--verifier-url',
    'https://v',
    '--avoid-tpm',
    'false',
  ])
  expect(env).toEqual({ KEYLIME_AGENT_VERIFIER_URL: 'https://v' })
  expect(passedOver).toEqual(['--api-version', '--unknown', '--avoid-tpm'])
})

test('an option without its value is passed over; help is asked for by either spelling', () => {
  expect(readPushCommandLine(['--verifier-url', '--insecure'])).toMatchObject({
    env: { KEYLIME_AGENT_TLS_ACCEPT_INVALID_CERTS: 'true' },
    passedOver: ['--verifier-url'],
  })
  expect(readPushCommandLine(['-h']).wantsHelp).toBe(true)
  expect(readPushCommandLine(['--help']).wantsHelp).toBe(true)
})
