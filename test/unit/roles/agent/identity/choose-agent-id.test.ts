import { createHash, generateKeyPairSync } from 'node:crypto'
import { chooseAgentId, ekHashOf } from '../../../../../src/roles/agent/identity/choose-agent-id.ts'

test('hash_ek is the digest of the PEM text with its last newline', () => {
  const { publicKey } = generateKeyPairSync('ec', { namedCurve: 'prime256v1' })
  const pem = publicKey.export({ type: 'spki', format: 'pem' }) as string
  expect(pem.endsWith('-----END PUBLIC KEY-----\n')).toBe(true)
  const expected = createHash('sha256').update(pem).digest('hex')
  expect(ekHashOf(publicKey)).toBe(expected)
  expect(chooseAgentId('hash_ek', expected, {})).toBe(expected)
})

test('ids are random, literal or from the environment', () => {
  expect(chooseAgentId('generate', '', {})).toMatch(/^[0-9a-f-]{36}$/)
  expect(chooseAgentId('generate', '', {})).not.toBe(chooseAgentId('generate', '', {}))
  expect(chooseAgentId('my.agent_1', '', {})).toBe('my.agent_1')
  expect(chooseAgentId('environment', '', { KEYLIME_AGENT_UUID: 'from-env' })).toBe('from-env')
})

test.each(['a b', '../x', '', 'a/b', 'x'.repeat(81)])('%j is refused', (uuid) => {
  expect(() => chooseAgentId(uuid, '', {})).toThrow(/not valid/)
})

test('environment without the variable is refused', () => {
  expect(() => chooseAgentId('environment', '', {})).toThrow(/not valid/)
})
