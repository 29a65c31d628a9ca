import { verify } from 'node:crypto'
import { judgeReply } from '../../src/core/attestation/verify-evidence.ts'
import { FRESH_IMA } from '../../src/core/ima/ima-policy.ts'
import { parseTpmPolicy } from '../../src/core/policy/tpm-policy.ts'
import { parseQuote } from '../../src/core/quote/quote-text.ts'
import { verifyQuote } from '../../src/core/quote/verify-quote.ts'
import { parsePublicArea } from '../../src/core/tpm/public-area.ts'
import { pcrValues, softwareAk, softwareQuote } from '../software-ak.ts'
import { perSecond } from './per-second.ts'
import { printTable } from './table.ts'

const NONCE = 'abcDEF0123456789wxyz'
const PEM = '-----BEGIN PUBLIC KEY-----\nhello\n-----END PUBLIC KEY-----\n'

/** Judging a quote against the bare signature check on the same machine, in the same run. */
export function benchVerifyQuote(): void {
  const rows = (['rsa', 'ecc'] as const).map((type) => {
    const software = softwareAk(type)
    const ak = parsePublicArea(software.public)
    const { text, attest } = softwareQuote(software, { nonce: Buffer.from(NONCE), values: pcrValues([15, 16], PEM) })
    const signature = parseQuote(text).signature.value
    const policy = { tpm: parseTpmPolicy(`{"15":"${'0'.repeat(64)}"}`), ima: null, boot: null }
    const accepted = { hash: ['sha256'], encryption: ['rsa', 'ecc'], signing: ['rsassa', 'ecdsa'] }
    const agent = { ak, transportKey: null, accepted, policy, clockInfo: null, ima: FRESH_IMA, attestationCount: 0 }
    const names = type === 'rsa' ? { enc_alg: 'rsa', sign_alg: 'rsassa' } : { enc_alg: 'ecc', sign_alg: 'ecdsa' }
    const reply = { quote: text, hash_alg: 'sha256', ...names, pubkey: PEM }
    const bare = perSecond(() => void verify('sha256', attest, ak.key, signature))
    const quote = perSecond(() => void verifyQuote(text, { ak, nonce: Buffer.from(NONCE), hash: 'sha256', pcrs: [15, 16] }))
    const evidence = perSecond(() => {
      if (judgeReply(agent, { reply, nonce: NONCE, evaluateBootAlways: false }).outcome !== 'passed')
        throw new Error('the quote of the benchmark does not pass')
    })
    const rate = (n: number) => Math.round(n).toLocaleString('en')
    return [
      type === 'rsa' ? 'RSA-2048' : 'P-256',
      rate(bare),
      rate(quote),
      `${(quote / bare).toFixed(2)}`,
      rate(evidence),
      `${(evidence / bare).toFixed(2)}`,
    ]
  })
  printTable('quotes judged per second and core', ['key', 'crypto.verify', 'verifyQuote', 'ratio', 'verifyEvidence', 'ratio'], rows)
}
