import { type IdentityQuote, identityQuote } from '../../../core/api/identity-quote.ts'
import { isAccepted } from '../../../core/attestation/accepted-algorithms.ts'
import { verifyIdentity } from '../../../core/attestation/verify-identity.ts'
import { KeylimeError } from '../../../core/errors.ts'
import { readEvidenceV2 } from '../../../core/evidence/read-evidence-v2.ts'
import type { PublicArea } from '../../../core/tpm/public-area.ts'

export interface QuoteQuestion {
  readonly ak: PublicArea
  readonly nonce: string
  readonly accepted: { readonly hash: readonly string[]; readonly encryption: readonly string[]; readonly signing: readonly string[] }
}

/**
 * Judges an identity quote as the verifier judges its quotes (`verifyIdentity`), with the option of tenant.conf that an algorithm needs. Only then may
 * a key share be encrypted to the transport key. @throws KeylimeError `attestation_failed` with what was found and expected.
 */
export function judgeIdentityQuote(results: unknown, question: QuoteQuestion): IdentityQuote {
  const parsed = identityQuote.safeParse(results)
  const read = readEvidenceV2(results)
  if (!parsed.success || 'failure' in read) {
    const members = parsed.success ? '' : parsed.error.issues.map((issue) => issue.path.join('.')).join(', ')
    throw refused(`the agent's answer is not a quote: ${members} missing or wrong`)
  }
  const reply = parsed.data
  checkAccepted('accept_tpm_hash_algs', reply.hash_alg, question.accepted.hash)
  checkAccepted('accept_tpm_encryption_algs', reply.enc_alg, question.accepted.encryption)
  checkAccepted('accept_tpm_signing_algs', reply.sign_alg, question.accepted.signing)
  const verdict = verifyIdentity(read.evidence, question)
  if ('failures' in verdict) throw refused(verdict.failures.map(({ context }) => inWords(context)).join('; '))
  return reply
}

function inWords({ message, got, expected }: { message: string; got?: unknown; expected?: unknown }): string {
  const facts = got === undefined ? '' : ` (found ${String(got)}, expected ${String(expected)})`
  return `the identity quote is not genuine: ${message}${facts}`
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
