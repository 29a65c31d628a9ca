import { tellStory } from '../../../../../src/roles/tenant/explain/tell-story.ts'

const tell = (status: number, message: string, results: object = {}) =>
  tellStory(
    { options: {}, env: {}, verifier: { agent: async () => undefined, raw: async () => ({ status, message, results }) } } as never,
    'id',
  )

test.each([
  [404, 'agent id not found', 'agent_not_found', 'the verifier does not have agent id'],
  [404, 'agent id has failed no attestation since it was added', 'not_found', 'agent id has failed no attestation since it was added'],
  [404, 'nothing was kept of the failure of agent id: why', 'not_found', 'nothing was kept of the failure of agent id: why'],
  [404, 'Not Found', 'unsupported_version', 'this verifier does not keep why a machine failed'],
  [200, 'Success', 'unsupported_version', 'this verifier does not keep why a machine failed'],
  [405, 'Method not allowed', 'unsupported_version', 'this verifier does not keep why a machine failed'],
  [403, 'Forbidden', 'forbidden', 'the verifier answered 403: Forbidden'],
  [503, 'Busy', 'unavailable', 'the verifier answered 503: Busy'],
])('the answer %i %s is told as %s', async (status, message, code, text) =>
  expect(tell(status, message)).rejects.toMatchObject({ code, message: text }),
)

test('an answer that is no story is refused with the place of the fault', async () =>
  expect(tell(200, 'Success', { failed_at: 1 })).rejects.toThrow(/the verifier’s answer is not valid: agent_id/))
