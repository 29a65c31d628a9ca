import { type IdentityQuote, identityQuote } from '../../../core/api/identity-quote.ts'
import { isAccepted } from '../../../core/attestation/accepted-algorithms.ts'
import { KeylimeError } from '../../../core/errors.ts'
import { dataPcrValue } from '../../../core/quote/data-pcr.ts'
import { verifyQuote } from '../../../core/quote/verify-quote.ts'
import { type HashName, isHashName } from '../../../core/tpm/algorithms.ts'
import { DATA_PCR } from '../../../core/tpm/pcr-selection.ts'
import type { PublicArea } from '../../../core/tpm/public-area.ts'

export interface QuoteQuestion {
  readonly ak: PublicArea
  readonly nonce: string
  readonly accepted: { readonly hash: readonly string[]; readonly encryption: readonly string[]; readonly signing: readonly string[] }
}

/**
 * Judges an identity quote (agents may quote further PCRs with it; Python agents do): made by the agent's TPM for this nonce, and PCR 16 in it binds the transport key that came along (protocol 3.4). Only then may a
 * key share be encrypted to that key. @throws KeylimeError `attestation_failed` with what was found and expected.
 */
export function judgeIdentityQuote(results: unknown, question: QuoteQuestion): IdentityQuote {
  const parsed = identityQuote.safeParse(results)
  if (!parsed.success)
    throw refused(
      `the agent's answer is not a quote: ${parsed.error.issues.map((issue) => issue.path.join('.')).join(', ')} missing or wrong`,
    )
  const reply = parsed.data
  checkAccepted('accept_tpm_hash_algs', reply.hash_alg, question.accepted.hash)
  checkAccepted('accept_tpm_encryption_algs', reply.enc_alg, question.accepted.encryption)
  checkAccepted('accept_tpm_signing_algs', reply.sign_alg, question.accepted.signing)
  if (!isHashName(reply.hash_alg)) throw refused(`the digest ${reply.hash_alg} cannot be judged here`)
  const hash: HashName = reply.hash_alg
  const verdict = verifyQuote(reply.quote, { ak: question.ak, nonce: Buffer.from(question.nonce, 'ascii'), hash, pcrs: null })
  if (!verdict.ok)
    throw refused(`the identity quote is not genuine: ${verdict.failures.map((failure) => failure.context.message).join('; ')}`)
  const got = verdict.pcrs.values.get(DATA_PCR)
  const expected = dataPcrValue(hash, reply.pubkey)
  if (!got?.equals(expected)) {
    throw refused(
      `the transport key is not the one that PCR ${DATA_PCR} binds (found ${got?.toString('hex')}, expected ${expected.toString('hex')})`,
    )
  }
  return reply
}

function checkAccepted(option: string, name: string, accepted: readonly string[]): void {
  if (isAccepted(name, accepted)) return
  throw refused(
    `the agent uses ${name}, which ${option} does not allow (${accepted.join(', ')})`,
    `add ${name} to ${option} in tenant.conf, or change the agent's tpm_… options`,
  )
}

function refused(message: string, hint = 'nothing was sent to the agent; look at the machine before you trust it'): KeylimeError {
  return new KeylimeError('attestation_failed', message, { hint })
}
