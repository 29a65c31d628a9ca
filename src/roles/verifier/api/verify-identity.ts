import { KeylimeError } from '../../../core/errors.ts'
import { verifyQuote } from '../../../core/quote/verify-quote.ts'
import { isHashName } from '../../../core/tpm/algorithms.ts'
import type { Route } from '../../../io/http/route.ts'
import { findAgent } from './find-agent.ts'
import type { VerifierContext } from './verifier-context.ts'

/** `GET /v2.x/verify/identity`: does this quote come from the TPM of that agent? Says nothing about its PCRs (protocol 4.10). */
export function verifyIdentity(context: VerifierContext): Route['handle'] {
  return ({ query }) => {
    const [agentId, quote, nonce, hash] = ['agent_uuid', 'quote', 'nonce', 'hash_alg'].map((name) => required(query, name)) as [
      string,
      string,
      string,
      string,
    ]
    const agent = findAgent(context, { id: agentId })
    if (!isHashName(hash)) throw new KeylimeError('invalid_request', `hash_alg ${hash.slice(0, 20)} is not known`)
    const verdict = verifyQuote(quote.replaceAll(' ', '+'), { ak: agent.ak, nonce: Buffer.from(nonce, 'ascii'), hash, pcrs: null })
    return { results: verdict.ok ? { valid: 1 } : { valid: 0, reason: verdict.failures[0]!.context.message } }
  }
}

function required(query: URLSearchParams, name: string): string {
  const value = query.get(name)
  if (!value) throw new KeylimeError('invalid_request', `missing query parameter ${name}`)
  return value
}
