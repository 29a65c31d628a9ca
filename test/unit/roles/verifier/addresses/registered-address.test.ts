import { makeSelfSigned } from '../../../../../src/core/pki/issue.ts'
import { makeKeyPair } from '../../../../../src/core/pki/keys.ts'
import { registeredAddress } from '../../../../../src/roles/verifier/addresses/registered-address.ts'

const keys = await makeKeyPair({ type: 'ecdsa' })
const others = await makeKeyPair({ type: 'ecdsa' })
const certificate = (pair: typeof keys, serial: bigint) =>
  makeSelfSigned({ commonName: 'agent', ...pair, serial, notBefore: 0, notAfter: 4_000_000_000_000, alternativeNames: [] })
const pinned = (await certificate(keys, 1n)).pem
const renewed = (await certificate(keys, 2n)).pem
const strange = (await certificate(others, 3n)).pem

const enrolment = { ip: '10.0.0.7', port: 9002, mtlsCertificate: pinned }
const judged = (changes: object, of: object = {}) =>
  registeredAddress({ ...enrolment, ...of }, { aik_tpm: '', ip: '10.0.0.8', port: 9002, mtls_cert: pinned, ...changes })

test('a machine is looked for where it has registered, with the TLS key that is pinned', () => {
  expect(judged({})).toEqual({ elsewhere: { ip: '10.0.0.8', port: 9002 } })
  expect(judged({ ip: '10.0.0.7', port: 9003 })).toEqual({ elsewhere: { ip: '10.0.0.7', port: 9003 } })
  expect(judged({ mtls_cert: renewed })).toEqual({ elsewhere: { ip: '10.0.0.8', port: 9002 } })
  expect(judged({ ip: '[fd00::7]' })).toEqual({ elsewhere: { ip: 'fd00::7', port: 9002 } })
  expect(judged({ ip: '10.0.0.7' })).toBe('same')
})

test.each([
  ['no address', { ip: null }, /cannot be used: it is empty/],
  ['a URL', { ip: 'http://169.254.169.254/latest' }, /begins with a scheme/],
  ['an address with a path', { ip: '10.0.0.8/x' }, /has a path/],
  ['an address with a port', { ip: '10.0.0.8:80' }, /has a port/],
  ['all addresses', { ip: '0.0.0.0' }, /nobody can be reached/],
  ['all addresses of IPv6', { ip: '::' }, /nobody can be reached/],
  ['no port', { port: null }, /without a port/],
  ['port 0', { port: 0 }, /without a port/],
  ['a port that is none', { port: 70_000 }, /without a port/],
  ['another key', { mtls_cert: strange }, /another TLS key/],
  ['no key', { mtls_cert: null }, /another TLS key/],
  ['a key that cannot be read', { mtls_cert: 'disabled' }, /another TLS key/],
])('the verifier is not led to %s', (_what, changes, why) => {
  expect(judged(changes)).toEqual({ why: expect.stringMatching(why) })
})

test('without a pinned certificate nobody is followed', () => {
  expect(judged({}, { mtlsCertificate: null })).toEqual({ why: expect.any(String) })
})
