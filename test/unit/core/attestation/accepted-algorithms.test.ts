import { isAccepted } from '../../../../src/core/attestation/accepted-algorithms.ts'

test.each<[string, string[], boolean]>([
  ['rsa', ['rsa2048'], true],
  ['rsa2048', ['rsa'], true],
  ['ecc', ['ecc256'], true],
  ['ecc256', ['ecc'], true],
  ['rsa3072', ['rsa'], false],
  ['ecc384', ['ecc'], false],
  ['ecc', ['rsa', 'rsa2048'], false],
  ['sha256', ['sha1', 'sha256'], true],
  ['sha1', ['sha256'], false],
  ['rsa', [], false],
  ['', ['rsa', 'ecc'], false],
])('%s where %j is accepted: %p', (name, accepted, answer) => expect(isAccepted(name, accepted)).toBe(answer))
