import { verifyIdentity } from '../../../../src/core/attestation/verify-identity.ts'
import { parsePublicArea } from '../../../../src/core/tpm/public-area.ts'
import { rsaKeyPair } from '../../../rsa-keys.ts'
import { pcrValues, type QuoteParts, softwareAk, softwareQuote } from '../../../software-ak.ts'

const ak = softwareAk('ecc')
const nonce = 'abcDEF0123456789wxyz'
const newKey = () => rsaKeyPair().publicKey.export({ format: 'pem', type: 'spki' }) as string
const [transportKey, otherKey] = [newKey(), newKey()]
const accepted = { hash: ['sha256'], encryption: ['ecc'], signing: ['ecdsa'] }
const algorithms = { hash: 'sha256', encryption: 'ecc256', signing: 'ecdsa' }

function judged(changes: object = {}, parts: Partial<QuoteParts> = {}, question: object = {}) {
  const { text } = softwareQuote(ak, { nonce: Buffer.from(nonce), values: pcrValues([0, 16], transportKey), ...parts })
  const evidence = { quote: text, algorithms, transportKey, ...changes }
  const verdict = verifyIdentity(evidence as never, { ak: parsePublicArea(ak.public), nonce, accepted, ...question })
  return 'failures' in verdict ? verdict.failures.map(({ eventId }) => eventId) : verdict.transportKey
}

test('a quote of this TPM, for this nonce, that binds the transport key gives that key', () => expect(judged()).toBe(transportKey))

test.each<[string, Parameters<typeof judged>, string]>([
  ['no transport key', [{ transportKey: null }], 'qoute_validation.no_pubkey'],
  ['the transport key of another', [{ transportKey: otherKey }], 'pcr_validation.invalid_pcr_16'],
  ['no PCR 16', [{}, { values: pcrValues([0], transportKey) }], 'pcr_validation.missing_pcr_16'],
  ['another nonce', [{}, { nonce: Buffer.from('another') }], 'qoute_validation.quote_validation'],
  ['a hash that is not accepted', [{ algorithms: { ...algorithms, hash: 'sha1' } }], 'qoute_validation.invalid_hash_alg'],
  ['the key of another TPM', [{}, {}, { ak: parsePublicArea(softwareAk('ecc').public) }], 'qoute_validation.quote_validation'],
])('with %s there is none', (_what, given, eventId) => expect(judged(...given)).toEqual([eventId]))
