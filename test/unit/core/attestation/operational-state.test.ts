import { attestationStatus } from '../../../../src/core/attestation/operational-state.ts'

test('upstream’s one word for each state', () => {
  const words = Array.from({ length: 11 }, (_, state) => attestationStatus(state as never))
  expect(words.map((word) => word[0]).join('')).toBe('PPPPPPPFPFF')
  expect(words.map((word, state) => (word === 'PASS' ? state : -1)).filter((state) => state >= 0)).toEqual([3, 4, 5, 6])
})
