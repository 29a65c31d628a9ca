import { KeylimeError } from '../../../core/errors.ts'
import { verifyQuote } from '../../../core/quote/verify-quote.ts'
import { isHashName } from '../../../core/tpm/algorithms.ts'
import { parsePublicArea } from '../../../core/tpm/public-area.ts'
import type { Route } from '../../../io/http/route.ts'
import { findRecord } from './find-agent.ts'
import type { VerifierContext } from './verifier-context.ts'

/** `GET /v2.x/verify/identity`: does this quote come from the TPM of that agent? Says nothing about its PCRs (protocol 4.10). */
export function verifyIdentity({ store }: Pick<VerifierContext, 'store'>): Route['handle'] {
  return async ({ query }) => {
    const [agentId, quote, nonce, hash] = ['agent_uuid', 'quote', 'nonce', 'hash_alg'].map((name) => required(query, name)) as [
      string,
      string,
      string,
      string,
    ]
    const record = await findRecord(store, { id: agentId })
    if (!isHashName(hash)) throw new KeylimeError('invalid_request', `hash_alg ${hash.slice(0, 20)} is not known`)
    if ('defect' in record) return { results: { valid: 0, reason: record.defect } }
    const ak = parsePublicArea(Buffer.from(record.agent.enrolment.ak, 'base64'))
    const verdict = verifyQuote(quote.replaceAll(' ', '+'), { ak, nonce: Buffer.from(nonce, 'ascii'), hash, pcrs: null })
    return { results: verdict.ok ? { valid: 1 } : { valid: 0, reason: verdict.failures[0]!.context.message } }
  }
}

function required(query: URLSearchParams, name: string): string {
  const value = query.get(name)
  if (!value) throw new KeylimeError('invalid_request', `missing query parameter ${name}`)
  return value
}
