import { credentialOf, openSealedShare, type SealingRequest, sealShare } from '../../../../src/core/payload/sealed-share.ts'
import { parsePublicArea } from '../../../../src/core/tpm/public-area.ts'
import { randomBytes } from '../../../../src/io/random.ts'
import { softwareAk } from '../../../software-ak.ts'
import { activateCredential, softwareEk } from '../../../software-ek.ts'

const [ek, ak] = [softwareEk(), softwareAk('ecc')]
const U = Buffer.alloc(32, 7)
const context = { agentId: 'machine-1', enrolment: '0123456789abcdef0123456789abcdef' }
const request: SealingRequest = {
  ...context,
  ek: parsePublicArea(ek.public),
  akName: parsePublicArea(ak.public).name,
  share: U,
  random: randomBytes,
}
const sealed = sealShare(request)
const secretOf = (text: string) => activateCredential(ek, ak.public, credentialOf(text))

test('only what the TPM gives for the credential opens the share', () => {
  expect(openSealedShare(sealed, secretOf(sealed), context)).toEqual(U)
  expect(() => openSealedShare(sealed, randomBytes(32), context)).toThrow(expect.objectContaining({ code: 'decryption_failed' }))
})

test.each([
  ['another machine', { agentId: 'machine-2' }],
  ['another delivery', { enrolment: 'f'.repeat(32) }],
])('a share for %s stays closed, though the TPM is the right one', (_what, other) => {
  expect(() => openSealedShare(sealed, secretOf(sealed), { ...context, ...other })).toThrow(
    expect.objectContaining({ code: 'decryption_failed' }),
  )
})

test('another TPM, or another attestation key beside the same EK, recovers another secret', () => {
  const others = [
    () => activateCredential(softwareEk(), ak.public, credentialOf(sealed)),
    () => activateCredential(ek, softwareAk('ecc').public, credentialOf(sealed)),
  ]
  for (const recover of others) expect(() => openSealedShare(sealed, recover(), context)).toThrow()
})

test('each bit of it counts', () => {
  const bytes = Buffer.from(sealed, 'base64')
  const secret = secretOf(sealed)
  const body = 2 + credentialOf(sealed).length
  for (let at = body; at < bytes.length; at++) {
    const changed = Buffer.from(bytes)
    changed[at]! ^= 1
    expect(() => openSealedShare(changed.toString('base64'), secret, context)).toThrow(
      expect.objectContaining({ code: 'decryption_failed' }),
    )
  }
})

test('two deliveries of one share have nothing in common, and nothing of it is in the clear', () => {
  const other = sealShare(request)
  expect(other).not.toBe(sealed)
  for (const text of [sealed, other]) expect(Buffer.from(text, 'base64').includes(U.subarray(0, 8))).toBe(false)
})

test('a key of 16 bytes is sealed as well', () => {
  const short = sealShare({ ...request, share: Buffer.alloc(16, 3) })
  expect(openSealedShare(short, secretOf(short), context)).toEqual(Buffer.alloc(16, 3))
})

test.each([
  '',
  'AAAA',
  'AAQ=',
  Buffer.from([0, 0]).toString('base64'),
  Buffer.concat([Buffer.from([0, 1, 9]), Buffer.alloc(28)]).toString('base64'),
])('what is too short to be one is malformed: %j', (text) => {
  expect(() => openSealedShare(text, randomBytes(32), context)).toThrow(expect.objectContaining({ code: 'malformed' }))
})

test('nothing is sealed to a key that is no storage key', () => {
  expect(() => sealShare({ ...request, ek: parsePublicArea(ak.public) })).toThrow(expect.objectContaining({ code: 'invalid_request' }))
})
