import { randomBytes } from 'node:crypto'
import { KeylimeError } from '../../../../../src/core/errors.ts'
import { registrationTag } from '../../../../../src/core/payload/auth-tag.ts'
import type { ApiClient, ApiResponse } from '../../../../../src/io/http/api-client.ts'
import { silentLogger } from '../../../../../src/io/log/logger.ts'
import type { AgentIdentity } from '../../../../../src/roles/agent/identity/open-identity.ts'
import { registerOnce, registerWithRetries } from '../../../../../src/roles/agent/registration/register-agent.ts'

const SECRET = randomBytes(32)
// A credential blob with empty parts: the fake TPM below does not look at it.
const BLOB = Buffer.from('badcc0de0000000100000000', 'hex').toString('base64')
const identity = {
  agentId: 'a-1',
  ekCertificatePem: null,
  deviceKeys: null,
  keys: {
    akBlob: { public: Buffer.from('ak'), private: Buffer.alloc(0) },
    ekPublic: Buffer.from('ek'),
    use: (work: (keys: unknown) => unknown) => work({ tpm: { activateCredential: async () => Buffer.from(SECRET) } }),
  },
} as unknown as AgentIdentity

type Answer = (method: string, path: string, body: unknown) => Partial<ApiResponse> | Error
function registrar(answer: Answer) {
  const calls: string[] = []
  const bodies: unknown[] = []
  const client = {
    async request(method: string, path: string, options: { body?: unknown } = {}) {
      calls.push(`${method} ${path}`)
      bodies.push(options.body)
      const reply = answer(method, path, options.body)
      if (reply instanceof Error) throw reply
      return { status: 200, message: 'Success', results: {}, ...reply }
    },
  } as unknown as ApiClient
  const request = {
    client,
    identity,
    iak: undefined,
    contact: { ip: '10.0.0.7', port: 9002 },
    mtlsCert: 'PEM',
    apiVersions: ['2.1', '2.5', '2.6'],
    logger: silentLogger,
  }
  return { request, calls, bodies }
}
const good: Answer = (method) => (method === 'POST' ? { results: { blob: BLOB } } : {})

test('the current version is used when the registrar tells it; the tag proves the recovered secret', async () => {
  const { request, calls, bodies } = registrar((method, path, body) =>
    path === '/version' ? { results: { current_version: '2.6', supported_versions: ['2.6', '3.0'] } } : good(method, path, body),
  )
  await registerOnce(request)
  expect(calls).toEqual(['GET /version', 'POST /v2.6/agents/a-1', 'PUT /v2.6/agents/a-1'])
  expect(bodies[1]).toEqual({
    aik_tpm: Buffer.from('ak').toString('base64'),
    ek_tpm: Buffer.from('ek').toString('base64'),
    ip: '10.0.0.7',
    port: 9002,
    mtls_cert: 'PEM',
    iak_cert: null,
    idevid_cert: null,
  })
  expect(bodies[2]).toEqual({ auth_tag: registrationTag(SECRET, 'a-1') })
})

test('an older registrar: the newest common version; one without /version: ours from the newest down', async () => {
  const older = registrar((method, path, body) =>
    path === '/version' ? { results: { current_version: '2.4', supported_versions: ['2.0', '2.1', '2.4'] } } : good(method, path, body),
  )
  await registerOnce(older.request)
  expect(older.calls[1]).toBe('POST /v2.1/agents/a-1')
  const oldest = registrar((method, path, body) =>
    path === '/version' || path.startsWith('/v2.6') ? { status: 404 } : good(method, path, body),
  )
  await registerOnce(oldest.request)
  expect(oldest.calls).toEqual(['GET /version', 'POST /v2.6/agents/a-1', 'POST /v2.5/agents/a-1', 'PUT /v2.5/agents/a-1'])
})

test('an agent that listens nowhere registers without an address and without a certificate', async () => {
  const { request, bodies } = registrar(good)
  await registerOnce({ ...request, contact: null, mtlsCert: null })
  expect(bodies[1]).not.toHaveProperty('ip')
  expect(bodies[1]).not.toHaveProperty('port')
  expect(bodies[1]).not.toHaveProperty('mtls_cert')
})

const backOff = { initialDelayMs: 100, maxRetries: 4, maxDelayMs: 350 }
const attempts = async (answer: Answer) => {
  const pauses: number[] = []
  const { request, calls } = registrar(answer)
  const error = await registerWithRetries(request, backOff, async (ms) => void pauses.push(ms)).catch((e) => e)
  return { pauses, error, posts: calls.filter((call) => call.startsWith('POST')).length }
}

test('pauses double up to their limit, then the last failure is thrown', async () => {
  const { pauses, error } = await attempts(() => new KeylimeError('unreachable', 'nobody there'))
  expect(pauses).toEqual([100, 200, 350, 350])
  expect(error).toMatchObject({ code: 'unreachable' })
})

test('a 403 is final: no other version, no other attempt', async () => {
  const { pauses, error, posts } = await attempts((method) => (method === 'POST' ? { status: 403, message: 'other TPM' } : { status: 404 }))
  expect({ pauses, posts }).toEqual({ pauses: [], posts: 1 })
  expect(error).toMatchObject({ code: 'refused', message: expect.stringMatching(/other TPM/) })
})

test.each([[{}], [{ blob: 5 }], [{ blob: 'AAAA' }]])(
  'an answer without a good challenge (%j) is an error, not a crash',
  async (results) => {
    const { error } = await attempts((method) => (method === 'POST' ? { results } : {}))
    expect(error).toMatchObject({ code: 'malformed' })
  },
)

test.each([
  ['2.1', 'QUI='],
  ['2.6', '-----BEGIN CERTIFICATE-----\nQU\nI=\n-----END CERTIFICATE-----\n-----BEGIN CERTIFICATE-----\nQw==\n-----END CERTIFICATE-----\n'],
])('a registrar of API %s gets the certificate of the EK as it reads it', async (version, ekcert) => {
  const { request, bodies } = registrar((method, path, body) =>
    path === '/version' ? { results: { current_version: version, supported_versions: [version] } } : good(method, path, body),
  )
  const pem =
    '-----BEGIN CERTIFICATE-----\nQU\nI=\n-----END CERTIFICATE-----\n-----BEGIN CERTIFICATE-----\nQw==\n-----END CERTIFICATE-----\n'
  await registerOnce({ ...request, identity: { ...identity, ekCertificatePem: pem } as AgentIdentity })
  expect(bodies[1]).toMatchObject({ ekcert })
})
