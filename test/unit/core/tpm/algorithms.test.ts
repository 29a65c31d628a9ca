import { algorithmName } from '../../../../src/core/tpm/algorithm-names.ts'

test.each<['hash' | 'signature', Record<number, string>]>([
  ['hash', { 4: 'sha1', 11: 'sha256', 12: 'sha384', 13: 'sha512', 18: 'sm3_256' }],
  ['signature', { 20: 'rsassa', 22: 'rsapss', 24: 'ecdsa', 26: 'ecdaa', 28: 'ecschnorr' }],
])('algorithms of kind %s have the numbers of the TCG and the names of Keylime, and no others have one', (kind, names) => {
  const found = Array.from({ length: 256 }, (_, algorithm) => [algorithm, algorithmName(algorithm, kind)] as const)
  expect(Object.fromEntries(found.filter(([, name]) => name !== undefined))).toEqual(names)
})
