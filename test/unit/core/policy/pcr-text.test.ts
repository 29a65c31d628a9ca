import { readPcrText } from '../../../../src/core/policy/pcr-text.ts'

const A = 'aa'.repeat(32)
const B = 'bb'.repeat(32)
const C = 'cc'.repeat(20)
const read = (text: string) => Object.fromEntries([...readPcrText(text, 'sha256')].map(([pcr, value]) => [pcr, value.toString('hex')]))

test.each([
  ['tpm2_pcrread 4 and 5', `  sha1:\n    0 : 0x${C}\n  sha256:\n    0 : 0x${A}\n    10: 0x${B.toUpperCase()}\n`],
  ['tpm2_pcrlist 3', `sha1 :\n  0  : ${C}\nsha256 :\n  0  : ${A}\n  10 : ${B}\n`],
  [
    'tpm2_listpcrs 2',
    `Bank/Algorithm: TPM_ALG_SHA1(0x0004)\nPCR_00: ${C}\n\nBank/Algorithm: TPM_ALG_SHA256(0x000b)\nPCR_00: ${A.replace(/../g, '$& ')}\nPCR_10: ${B.replace(/../g, '$& ')}\n`,
  ],
  [
    'tpm2_quote and tpm2_checkquote',
    `quoted: ff544347\nsignature:\n  alg: rsassa\n  sig: abab\npcrs:\n  sha256:\n    0 : 0x${A}\n    10: 0x${B}\ncalcDigest: ${C}\n`,
  ],
  ['tpm2_eventlog', `  EventSize: 4\npcrs:\n  sha1:\n    0  : 0x${C}\n  sha256:\n    0  : 0x${A}\n    10 : 0x${B}\n`],
  ['an SM3 bank behind', `  sha256:\n    0 : 0x${A}\n    10: 0x${B}\n  sm3_256:\n    0 : 0x${B}\n    10: 0x${A}\n`],
  ['an SM3 bank before', `  sm3_256:\n    0 : 0x${B}\n  sha256:\n    0 : 0x${A}\n    10: 0x${B}\n`],
  ['banks of SHA-3', `  sha3_256:\n    0 : 0x${B}\n  sha256:\n    0 : 0x${A}\n    10: 0x${B}\n  sha3_512:\n    3 : 0x${B}${B}\n`],
  ['a bank of a number', `  sha256:\n    0 : 0x${A}\n    10: 0x${B}\n  0x0029:\n    0 : 0x${B}\n`],
  [
    'a bank that the tool has no name for',
    `  (null):\n    0 : 0x${C}\n  sha256:\n    0 : 0x${A}\n    10: 0x${B}\n  (null):\n    0 : 0x${B}\n`,
  ],
  [
    'tpm2-tools 2 with names of its own',
    `Bank/Algorithm: sm3_256(0x0012)\nPCR_00: ${B}\nBank/Algorithm: sha256(0x000b)\nPCR_00: ${A}\nPCR_10: ${B}\n`,
  ],
  ['line ends of another system', `  sha256:\r\n    0 : 0x${A}\r\n    10: 0x${B}\r\n`],
])('the values of a bank are read from what is printed by %s', (_what, text) => expect(read(text)).toEqual({ 0: A, 10: B }))

test.each([
  ['a PCR twice', `sha256:\n 0 : 0x${A}\n 0 : 0x${A}\n`, /line 3: PCR 0 appears twice in bank sha256/],
  [
    'a PCR twice in two sections of one bank',
    `sha256:\n 0 : 0x${A}\nsha1:\n 0: 0x${C}\nsha256:\n 0 : 0x${B}\n`,
    /line 6: PCR 0 appears twice/,
  ],
  ['a value without a bank', ` 0 : 0x${A}\n`, /line 1: PCR 0 belongs to no bank/],
  ['a value behind a line that is nothing', `sha256:\n 0 : 0x${A}\n$ \n 1 : 0x${A}\n`, /line 4: PCR 1 belongs to no bank/],
  ['a value of another size', `sha256:\n 0 : 0x${C}\n`, /PCR 0 has 20 bytes, and bank sha256 has values of 32/],
  ['a PCR that does not exist', `sha256:\n 24 : 0x${A}\n`, /PCR 24 does not exist/],
])('%s is refused', (_what, text, message) => expect(() => readPcrText(text, 'sha256')).toThrow(message))
test('a bank that is not there has no values', () => expect(read(`sha1:\n 0 : 0x${C}\n`)).toEqual({}))
