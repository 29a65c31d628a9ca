import { FRESH_IMA } from '../../../src/core/ima/ima-policy.ts'
import { judgeAnswer } from '../../../src/core/judging/judge-answer.ts'
import { verifySubmitted } from '../../../src/core/judging/verify-submitted.ts'
import { parseTpmPolicy } from '../../../src/core/policy/tpm-policy.ts'
import { parsePublicArea } from '../../../src/core/tpm/public-area.ts'
import { machineQuote } from '../../machines.ts'
import { demand, type Target, unlessRefused } from '../target.ts'

import { forged } from './quote-text.ts'

const { text: quote, nonce, ak } = machineQuote('quote-ecc')
const AGENT = {
  ak: parsePublicArea(ak),
  transportKey: null,
  accepted: { hash: ['sha256'], encryption: ['rsa', 'ecc'], signing: ['rsassa', 'ecdsa'] },
  policy: { tpm: parseTpmPolicy('{}'), ima: null, boot: null },
  clockInfo: null,
  ima: FRESH_IMA,
  attestationCount: 0,
}
const REPLY = { quote, hash_alg: 'sha256', enc_alg: 'ecc', sign_alg: 'ecdsa', pubkey: null, boottime: 0 }
const SUBMITTED = {
  type: 'tpm',
  data: {
    quote,
    nonce: nonce.toString('latin1'),
    hash_alg: 'sha256',
    tpm_ak: ak.toString('base64'),
    tpm_ek: '',
    tpm_policy: { mask: '0xffff' },
    ima_measurement_list: '',
    mb_log: '',
  },
}
const RULES = { bootPolicy: 'example', failOnViolation: false } as never

/** Evidence of a machine as the verifier gets it, and of `verify/evidence`: judged whatever it is, and never passed without the quote that a TPM signed. */
export const submittedEvidence: Target = {
  seeds: () => [
    Buffer.from(JSON.stringify({ ...SUBMITTED, data: { ...SUBMITTED.data, quote: forged('quote-ecc') } })),
    Buffer.from(JSON.stringify(SUBMITTED)),
    Buffer.from(JSON.stringify({ code: 200, status: 'Success', results: REPLY })),
  ],
  maxBytes: 8192,
  words: [...Object.keys(SUBMITTED.data), ...Object.keys(REPLY), 'runtime_policy', 'mb_policy'].map((name) => `"${name}":`),
  run(input) {
    const verdict = unlessRefused(['invalid_request', 'malformed'], () => verifySubmitted(input, RULES))
    if (verdict?.valid) demand(input.includes(quote.slice(1, 120)), 'evidence without the quote is valid')
    const judged = judgeAnswer({ answer: input }, AGENT as never, { nonce: nonce.toString('latin1'), evaluateBootAlways: true } as never)
    if (typeof judged !== 'string' && judged.verdict.outcome === 'passed')
      demand(input.includes(quote.slice(1, 60)), 'an answer without the quote is good')
  },
}
