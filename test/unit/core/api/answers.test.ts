import { agentIds } from '../../../../src/core/api/agent-ids.ts'
import { agentInfo } from '../../../../src/core/api/agent-info.ts'
import { agentStatus } from '../../../../src/core/api/agent-status.ts'
import { explanation } from '../../../../src/core/api/explanation.ts'
import { identityQuote } from '../../../../src/core/api/identity-quote.ts'
import { registeredAgent } from '../../../../src/core/api/registrar.ts'
import { revocationReport } from '../../../../src/core/api/revocation-report.ts'
import { serverVersion } from '../../../../src/core/api/server-version.ts'
import { policyNames } from '../../../../src/core/api/stored-policies.ts'
import { warningsIn } from '../../../../src/core/api/verifier.ts'

const LONG = 'x'.repeat(1 << 20)
const quote = { quote: 'r', hash_alg: 'sha256', enc_alg: 'rsa2048', sign_alg: 'rsassa', pubkey: 'PEM' }
const registered = { aik_tpm: 'AA==', ip: '10.0.0.7', port: 9002, regcount: 1 }
const revocation = { id: 1, agent_id: 'a', type: 'revocation', time: '2026-01-01T00:00:00.000Z', told: [], pending: [], given_up: [] }
const info = { agent_uuid: 'a', tpm_hash_alg: 'sha256', tpm_enc_alg: 'rsa', tpm_sign_alg: 'rsassa', ak_handle: 1 }

test.each([
  ['identity quote', identityQuote, quote, 'pubkey'],
  ['identity quote', identityQuote, quote, 'hash_alg'],
  ['registered agent', registeredAgent, registered, 'aik_tpm'],
  ['registered agent', registeredAgent, registered, 'ip'],
  ['status', agentStatus, { operational_state: 3 }, 'ip'],
  ['status', agentStatus, { operational_state: 3 }, 'last_event_id'],
  ['agent info', agentInfo, info, 'agent_uuid'],
  ['version', serverVersion, {}, 'current_version'],
])('%s: what names something is refused when it is a megabyte', (_name, schema, answer, member) => {
  expect(schema.safeParse(answer).success).toBe(true)
  expect(schema.safeParse({ ...answer, [member]: LONG }).error?.issues[0]?.path).toEqual([member])
})

test('lists are bounded in number and in each id', () => {
  expect(agentIds.safeParse({ uuids: [LONG] }).success).toBe(false)
  expect(policyNames.runtime.safeParse({ 'runtimepolicy names': [LONG] }).success).toBe(false)
  expect(revocationReport.safeParse({ revocations: Array(10_001).fill(revocation) }).success).toBe(false)
  expect(revocationReport.safeParse({ revocations: [revocation] }).success).toBe(true)
})

test('sentences are cut, and the answer still is one', () => {
  const status = agentStatus.parse({ operational_state: 9, failures: [{ event_id: 'ima.x', context: { message: LONG } }] })
  expect(status.failures?.[0]?.context.message).toBe(`${'x'.repeat(65_536)}…`)
  const pending = [{ target: 'webhook', attempts: 1, last_error: LONG }]
  const { revocations } = revocationReport.parse({ revocations: [{ ...revocation, pending }] })
  expect(revocations[0]?.pending[0]?.last_error).toHaveLength(65_537)
  expect(warningsIn({ warnings: [{ policy: 'p', path: 'p', message: LONG }] })[0]).toHaveLength(65_539)
})

test('the registrar lists ids, the verifier rows of one', () => {
  expect(agentIds.parse({ uuids: ['a', 'b'] })).toEqual(['a', 'b'])
  expect(agentIds.parse({ uuids: [['a'], ['b']] })).toEqual(['a', 'b'])
  expect(agentIds.parse({})).toEqual([])
})

test('numbers of an older registrar may be text', () => {
  expect(registeredAgent.parse({ ...registered, port: '9002', regcount: '2' })).toMatchObject({ port: 9002, regcount: 2 })
  expect(registeredAgent.safeParse({ ...registered, port: '9002; rm' }).success).toBe(false)
})

test('a status of upstream needs no member of ours; members that nobody knows are kept', () => {
  const parsed = agentStatus.parse({ operational_state: 3, ip: '10.0.0.7', port: 9002, v: null, tpm_policy: '{}', agent_info: 1 })
  expect(parsed).toMatchObject({ operational_state: 3, agent_info: 1 })
  expect(agentStatus.safeParse({ operational_state: '3' }).success).toBe(false)
})

test('an explanation without its members is none', () => {
  expect(explanation.safeParse({ failed_at: '2026-01-01' }).success).toBe(false)
})
