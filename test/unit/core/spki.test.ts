import { generateKeyPairSync } from 'node:crypto'
import { spkiOf } from '../../../src/core/spki.ts'
import { parsePublicArea } from '../../../src/core/tpm/public-area.ts'
import { softwareAk } from '../../software-ak.ts'

test.each(['ecc', 'rsa'] as const)('of a TPM key (%s) it is what OpenSSL writes', (type) => {
  for (let i = 0; i < 3; i++) {
    const { key } = parsePublicArea(softwareAk(type).public)
    expect(spkiOf(key)).toEqual(key.export({ type: 'spki', format: 'der' }))
  }
})

test.each(['P-256', 'P-384', 'P-521'])('of a key on %s it is what OpenSSL writes, each time', (namedCurve) => {
  const { publicKey } = generateKeyPairSync('ec', { namedCurve })
  expect(spkiOf(publicKey)).toEqual(publicKey.export({ type: 'spki', format: 'der' }))
  expect(spkiOf(publicKey)).toBe(spkiOf(publicKey))
})
