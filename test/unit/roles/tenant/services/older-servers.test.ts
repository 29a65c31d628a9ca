import type { EnrolmentRequest } from '../../../../../src/core/api/verifier.ts'
import type { ApiClient } from '../../../../../src/io/http/api-client.ts'
import { RegistrarService } from '../../../../../src/roles/tenant/services/registrar-service.ts'
import { VerifierService } from '../../../../../src/roles/tenant/services/verifier-service.ts'

/** A server that tells these versions, or none, and takes everything. */
function server(versions: string[] | null) {
  const calls: { path: string; body: unknown }[] = []
  const client = {
    async request(_method: string, path: string, { body }: { body?: unknown } = {}) {
      if (path === '/version') return versions ? { status: 200, results: { supported_versions: versions } } : { status: 405, results: {} }
      calls.push({ path, body })
      return { status: 200, message: 'Success', results: { uuids: [] } }
    },
    close: async () => {},
  } as unknown as ApiClient
  return { client, calls }
}
const ADDRESS = { host: '127.0.0.1', port: 1 }
const enrolment = (supported_version: string) => ({ supported_version, mb_policy: '{"x": 1}' }) as EnrolmentRequest

test('a registrar that does not tell its versions is asked in 2.1, which all have', async () => {
  const { client, calls } = server(null)
  await new RegistrarService(client, ADDRESS).agentIds()
  expect(calls[0]!.path).toBe('/v2.1/agents/')
})

test.each([
  ['2.6', ['2.0', '2.1'], '2.1'],
  ['2.6', ['2.1', '2.6'], '2.6'],
  ['2.2', ['2.1', '2.6'], '2.2'],
])('an agent of API %s is enrolled at a verifier of %j as one of %s', async (agent, versions, told) => {
  const { client, calls } = server(versions)
  await new VerifierService(client, ADDRESS).enrol('a', enrolment(agent))
  expect(calls[0]!.body).toMatchObject({ supported_version: told, mb_policy: '{"x": 1}', mb_refstate: '{"x": 1}' })
})
