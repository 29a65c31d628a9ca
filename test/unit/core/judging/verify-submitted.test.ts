import { verifySubmitted } from '../../../../src/core/judging/verify-submitted.ts'
import { machineQuote } from '../../../machines.ts'
import { oddRsaArea, softwareAk, softwareQuote } from '../../../software-ak.ts'

const { text: quote, nonce, ak } = machineQuote('quote-ecc')
const DATA = {
  quote,
  nonce: nonce.toString('latin1'),
  hash_alg: 'sha256',
  tpm_ak: ak.toString('base64'),
  tpm_ek: '',
  tpm_policy: { mask: '0x8000', 15: ['0'.repeat(64)] },
  ima_measurement_list: '',
  mb_log: '',
}
const submit = (changes: object = {}, type = 'tpm') =>
  verifySubmitted(Buffer.from(JSON.stringify({ type, data: { ...DATA, ...changes } })), {
    bootPolicy: 'example',
    failOnViolation: false,
  } as never)
const area = (bytes: Buffer) => bytes.toString('base64')

test('evidence is judged by the policy that comes with it', () => {
  const { valid, failures } = submit({ tpm_policy: { 15: ['1'.repeat(64)] } })
  expect([valid, failures.map(({ type }) => type)]).toEqual([false, expect.arrayContaining(['pcr_validation.invalid_pcr_15'])])
})

test('what fits the policy is valid', () => {
  const own = softwareAk('ecc')
  const { text } = softwareQuote(own, { nonce: Buffer.from('abc'), values: new Map([[15, Buffer.alloc(32)]]) })
  const fits = { quote: text, nonce: 'abc', tpm_ak: area(own.public) }
  expect(submit(fits)).toEqual({ valid: true, failures: [] })
  expect(submit({ ...fits, nonce: 'abd' }).valid).toBe(false)
})

test('a quote for another nonce is not good', () => {
  const { valid, failures } = submit({ nonce: 'another' })
  expect([valid, JSON.stringify(failures)]).toEqual([false, expect.stringContaining('another nonce')])
})

test.each<[string, object, RegExp]>([
  [
    'an AK that signs anything',
    { tpm_ak: area(softwareAk('ecc', 0x00040072).public) },
    /tpm_ak is not an attestation key: restricted is not set/,
  ],
  ['an AK that may leave its TPM', { tpm_ak: area(softwareAk('ecc', 0x00050070).public) }, /tpm_ak is not .* fixedTPM is not set/],
  ['an AK that may decrypt', { tpm_ak: area(softwareAk('ecc', 0x00070072).public) }, /tpm_ak is not .* decrypt is set/],
  ['a weak AK', { tpm_ak: area(oddRsaArea({ bits: 1024 })) }, /tpm_ak is not .* 1024 bits/],
  ['an AK without a scheme', { tpm_ak: area(oddRsaArea({ scheme: null })) }, /tpm_ak is not .* no signing scheme/],
  ['a weak EK', { tpm_ek: area(oddRsaArea({ exponent: 3 })) }, /tpm_ek is not an endorsement key: its RSA exponent is 3/],
  ['no policy', { tpm_policy: undefined }, /one of tpm_policy, runtime_policy and mb_policy is needed/],
  ['a policy that demands nothing', { tpm_policy: { mask: '0x0' } }, /the policies demand nothing/],
  ['a policy nested without end', { tpm_policy: `${'['.repeat(40)}${']'.repeat(40)}` }, /a policy is nested deeper than 32/],
  ['an unknown bank', { hash_alg: 'md5' }, /hash_alg md5 is not known/],
])('evidence with %s is refused, not judged', (_what, changes, reason) => {
  expect(() => submit(changes)).toThrow(expect.objectContaining({ code: 'invalid_request', message: expect.stringMatching(reason) }))
})

test('evidence of another kind is refused', () => {
  expect(() => submit({}, 'tee')).toThrow('evidence of type tee cannot be judged here')
})

test('an EK that is none says nothing: nothing is judged by it', () => {
  expect(submit({ tpm_ek: 'AAAA', nonce: 'another' }).valid).toBe(false)
})
