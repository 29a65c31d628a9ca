import { constants, createHash, sign } from 'node:crypto'
import { parseQuote } from '../../../../src/core/quote/quote-text.ts'
import { type ExpectedQuote, verifyQuote } from '../../../../src/core/quote/verify-quote.ts'
import { TPM_ALG } from '../../../../src/core/tpm/algorithms.ts'
import { sized, u16 } from '../../../../src/core/tpm/byte-writer.ts'
import { akDefects } from '../../../../src/core/tpm/key-defects.ts'
import { parsePublicArea } from '../../../../src/core/tpm/public-area.ts'
import { type QuoteParts, quoteText, type SoftwareAk, softwareAk, softwareQuote } from '../../../software-ak.ts'

const nonce = Buffer.from('abcDEF0123456789wxyz', 'ascii')
const value = (n: number) => createHash('sha256').update(String(n)).digest()
const values = new Map([10, 16].map((pcr) => [pcr, value(pcr)]))
const keys: SoftwareAk[] = [softwareAk('rsa'), softwareAk('ecc')]

const expectedOf = (ak: SoftwareAk, changes: Partial<ExpectedQuote> = {}): ExpectedQuote => ({
  ak: parsePublicArea(ak.public),
  nonce,
  hash: 'sha256',
  pcrs: [10, 16],
  ...changes,
})
const reasonOf = (text: string, expected: ExpectedQuote) => {
  const verdict = verifyQuote(text, expected)
  return verdict.ok ? 'accepted' : verdict.failures.map((f) => `${f.eventId} ${f.recoverable} ${f.context.message}`).join()
}
const IRRECOVERABLE = 'qoute_validation.quote_validation false '

describe.each(keys)('a quote signed by an AK of type $type', (ak) => {
  const quote = (parts: Partial<QuoteParts> = {}) => softwareQuote(ak, { nonce, values, ...parts })

  test('is accepted when every part fits, and gives the PCR values', () => {
    const verdict = verifyQuote(quote().text, expectedOf(ak))
    expect(verdict.ok && [...verdict.pcrs.values]).toEqual([...values])
  })

  const refusals: [string, Partial<QuoteParts>, RegExp][] = [
    ['another nonce', { nonce: Buffer.from('abcDEF0123456789wxyZ') }, /another nonce/],
    ['a prefix of the nonce', { nonce: nonce.subarray(0, 19) }, /another nonce/],
    ['the base64 decoding of the nonce', { nonce: Buffer.from(nonce.toString(), 'base64') }, /another nonce/],
    ['a structure that no TPM made', { magic: 0xff544346 }, /not made by a TPM/],
    ['a certification in place of a quote', { attestType: 0x8017 }, /not a quote/],
    ['a signed selection of other PCRs (relabelled values)', { signedPcrs: [16, 23] }, /not the signed ones/],
    ['a signed selection of more PCRs', { signedPcrs: [10, 16, 17] }, /not the signed ones/],
    ['values of another bank than the signed one', { signedHash: 'sha1' }, /bank/],
    ['two selections', { selections: 2 }, /2 PCR banks/],
    ['no selection', { selections: 0 }, /0 PCR banks/],
    ['a digest of other values', { pcrDigest: Buffer.alloc(32) }, /do not hash/],
    ['bytes after the signed structure', { trailing: Buffer.from([0]) }, /trailing/],
  ]
  test.each(refusals)('is refused for %s', (_name, parts, reason) => {
    const refused = reasonOf(quote(parts).text, expectedOf(ak))
    expect(refused).toMatch(reason)
    expect(refused.startsWith(IRRECOVERABLE)).toBe(true)
  })

  test('is refused when it covers fewer or other PCRs than were asked for', () => {
    expect(reasonOf(quote().text, expectedOf(ak, { pcrs: [10, 16, 22] }))).toMatch(/other PCRs than were asked/)
    expect(reasonOf(quote().text, expectedOf(ak, { pcrs: [16] }))).toMatch(/other PCRs than were asked/)
  })

  test('is refused under another hash than the reply announced', () =>
    expect(reasonOf(quote().text, expectedOf(ak, { hash: 'sha384' }))).toMatch(/another hash/))
  test('is refused when it covers no PCR', () =>
    expect(reasonOf(quote({ values: new Map() }).text, expectedOf(ak, { pcrs: null }))).toMatch(/no PCR/))
  test('is refused for another key of the same type', () =>
    expect(reasonOf(quote().text, expectedOf(softwareAk(ak.type)))).toMatch(/signature does not verify/))

  test('is refused after any single bit of the signed bytes or of the signature was changed', () => {
    const { attest, signature, blob } = quote()
    for (const part of [attest, signature]) {
      for (let bit = 0; bit < part.length * 8; bit += 7) {
        part[bit >> 3]! ^= 1 << (bit & 7)
        expect(reasonOf(quoteText(attest, signature, blob), expectedOf(ak))).not.toBe('accepted')
        part[bit >> 3]! ^= 1 << (bit & 7)
      }
    }
  })

  test('is refused after any bit of the PCR blob was changed, padding included', () => {
    const { attest, signature, blob } = quote()
    for (let at = 0; at < blob.length; at++) {
      blob[at]! ^= 1
      expect(reasonOf(quoteText(attest, signature, blob), expectedOf(ak))).not.toBe('accepted')
      blob[at]! ^= 1
    }
  })

  test('is refused when any part is cut short or has something behind it', () => {
    const { attest, signature, blob } = quote()
    for (const [a, s, b] of [
      [attest.subarray(0, -1), signature, blob],
      [attest, signature.subarray(0, -1), blob],
      [attest, signature, blob.subarray(0, -1)],
    ] as const)
      expect(reasonOf(quoteText(a, s, b), expectedOf(ak))).toMatch(/^qoute/)
    const longer = (part: Buffer) => Buffer.concat([part, Buffer.from([0])])
    for (const [a, s, b] of [
      [attest, longer(signature), blob],
      [attest, signature, longer(blob)],
    ] as const)
      expect(reasonOf(quoteText(a, s, b), expectedOf(ak))).toMatch(/^qoute/)
  })
})

test('a good quote in another form is refused', () => {
  const ak = keys[1]!
  const { text } = softwareQuote(ak, { nonce, values })
  const parts = text.split(':')
  expect(reasonOf(text, expectedOf(ak))).toBe('accepted')
  for (const other of [`d${text.slice(1)}`, text.slice(1), `${text}:`, `${text}:AAAA`, parts.slice(0, 2).join(':')])
    expect(reasonOf(other, expectedOf(ak))).toMatch(/not "r" and three parts|not base64/)
  expect(reasonOf(`${text}${'A'.repeat(20_000)}`, expectedOf(ak))).toMatch(/at most 16384/)
})

const PSS = { padding: constants.RSA_PKCS1_PSS_PADDING }
/** A quote of an RSA key as TPMs sign it whose scheme is RSASSA-PSS. */
const pssQuote = (ak: SoftwareAk, saltLength: number) => {
  const { attest, blob } = softwareQuote(ak, { nonce, values })
  const head = Buffer.concat([u16(TPM_ALG.RSAPSS), u16(TPM_ALG.SHA256)])
  return { attest, blob, signature: Buffer.concat([head, sized(sign('sha256', attest, { key: ak.privateKey, ...PSS, saltLength }))]) }
}

test.each([0, 32, 222])(
  'a quote signed by RSASSA-PSS with a salt of %d bytes is accepted, and refused when a bit of it changes',
  (salt) => {
    const ak = keys[0]!
    const { attest, signature, blob } = pssQuote(ak, salt)
    expect(reasonOf(quoteText(attest, signature, blob), expectedOf(ak, { signing: 'rsapss' }))).toBe('accepted')
    for (const part of [attest, signature]) {
      part[part.length - 1]! ^= 1
      expect(reasonOf(quoteText(attest, signature, blob), expectedOf(ak))).toMatch(/signature does not verify/)
      part[part.length - 1]! ^= 1
    }
  },
)

test('a quote of another scheme than its reply says is refused: what was accepted is the scheme that it said', () => {
  const [rsa, ecc] = keys as [SoftwareAk, SoftwareAk]
  const { attest, signature, blob } = pssQuote(rsa, 32)
  expect(reasonOf(quoteText(attest, signature, blob), expectedOf(rsa, { signing: 'rsassa' }))).toMatch(/another scheme than the reply says/)
  for (const [ak, announced] of [
    [rsa, 'rsapss'],
    [rsa, 'ecdsa'],
    [ecc, 'rsassa'],
  ] as const)
    expect(reasonOf(softwareQuote(ak, { nonce, values }).text, expectedOf(ak, { signing: announced }))).toMatch(/another scheme/)
})

test.each([4, 32, 255])('a signed selection of %d bytes is of no TPM that has 24 PCRs, and is not read', (selectBytes) => {
  const ak = keys[1]!
  expect(reasonOf(softwareQuote(ak, { nonce, values, selectBytes }).text, expectedOf(ak))).toMatch(/a TPM has 24 PCRs/)
})

test('a signature of one key type does not count for the other', () => {
  const [rsa, ecc] = keys as [SoftwareAk, SoftwareAk]
  expect(reasonOf(softwareQuote(ecc, { nonce, values }).text, expectedOf(rsa))).toMatch(/signature does not verify/)
  expect(reasonOf(softwareQuote(rsa, { nonce, values }).text, expectedOf(ecc))).toMatch(/signature does not verify/)
})

test.each(['', 'r', 'r::', 'dAAAA:AAAA:AAAA', 'rA:A:A', 'r!!!!:AAAA:AAAA', `r${'A'.repeat(20_000)}:AAAA:AAAA`])(
  'text %# that is no quote is a failed quote, not an exception',
  (text) => {
    expect(verifyQuote(text, expectedOf(keys[0]!)).ok).toBe(false)
  },
)

test.each([
  ['rAAAA:??:AAAA', 'part 2 of the quote is not base64'],
  ['rAAAA:AAAA', 'the quote is not "r" and three parts with ":" between'],
  ['r'.repeat(16_384), 'the quote is not "r" and three parts with ":" between'],
  ['r'.repeat(16_385), 'the quote has 16385 characters, at most 16384 are read'],
])('parseQuote says what is wrong: %#', (text, message) =>
  expect(() => parseQuote(text)).toThrow(expect.objectContaining({ code: 'malformed', message })),
)

test.each([
  [0x00040072, 'restricted is not set'],
  [0x00010072, 'sign is not set'],
  [0x00070072, 'decrypt is set'],
  [0x00050070, 'fixedTPM is not set'],
  [0x00050062, 'fixedParent is not set'],
  [0x00050052, 'sensitiveDataOrigin is not set'],
  [0x00050032, 'userWithAuth is not set'],
])('a key with attributes %d is no attestation key: %s', (attributes, defect) => {
  expect(akDefects(parsePublicArea(softwareAk('ecc', attributes).public))).toContain(defect)
  expect(akDefects(parsePublicArea(softwareAk('ecc').public))).toEqual([])
})
