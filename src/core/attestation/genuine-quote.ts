import type { Evidence } from '../evidence/evidence.ts'
import { type VerifiedPcrs, verifyQuote } from '../quote/verify-quote.ts'
import { type HashName, isHashName } from '../tpm/algorithms.ts'
import type { ClockInfo } from '../tpm/attest.ts'
import type { PublicArea } from '../tpm/public-area.ts'
import { type Failure, irrecoverable } from '../verdict/failure.ts'
import { type AcceptedAlgorithms, isAccepted } from './accepted-algorithms.ts'
import { clockDefect } from './clock.ts'

/** What was asked, and what is known of the TPM that must answer. */
export interface QuoteQuestion {
  ak: PublicArea
  /** Of this very request, never used before; one character a byte. */
  nonce: string
  /** Null takes every algorithm that can be judged. */
  accepted: AcceptedAlgorithms | null
  /** PCRs that were asked for, ascending; null takes any selection. */
  pcrs: readonly number[] | null
  /** Clock of the last good quote; null when there was none. */
  clockInfo: ClockInfo | null
}

export type GenuineQuote = { ok: true; pcrs: VerifiedPcrs; clockInfo: ClockInfo; hash: HashName } | { ok: false; failures: Failure[] }

/**
 * The first half of the order of checks (protocol 4.6), whoever asks: algorithms, the quote, the TPM's clock. Until it holds nothing else in the
 * evidence is looked at, because nothing else is signed.
 */
export function genuineQuote({ quote, algorithms }: Evidence, question: QuoteQuestion): GenuineQuote {
  const { ak, accepted, pcrs } = question
  const unaccepted = accepted ? algorithmFailures(algorithms, accepted) : []
  if (unaccepted.length > 0) return { ok: false, failures: unaccepted }
  const { hash } = algorithms
  if (!isHashName(hash)) return { ok: false, failures: [refuse('invalid_hash_alg', 'hash algorithm', hash, [])] }
  const signing = algorithms.signing || undefined
  const verdict = verifyQuote(quote, { ak, nonce: Buffer.from(question.nonce, 'latin1'), hash, signing, pcrs })
  if (!verdict.ok) return verdict
  const clock = clockDefect(verdict.clockInfo, question.clockInfo)
  if (clock) return { ok: false, failures: [irrecoverable('qoute_validation', 'quote_validation', { message: clock })] }
  return { ...verdict, hash }
}

const refuse = (name: string, what: string, got: string, expected: readonly string[]) =>
  irrecoverable('qoute_validation', name, { message: `the agent's ${what} ${got} is not accepted`, got, expected: [...expected] })

function algorithmFailures(algorithms: Evidence['algorithms'], accepted: AcceptedAlgorithms): Failure[] {
  const { hash, encryption, signing } = algorithms
  const failures: Failure[] = []
  if (!isAccepted(hash, accepted.hash) || !isHashName(hash))
    failures.push(refuse('invalid_hash_alg', 'hash algorithm', hash, accepted.hash))
  if (!isAccepted(encryption, accepted.encryption)) failures.push(refuse('invalid_enc_alg', 'key type', encryption, accepted.encryption))
  if (!isAccepted(signing, accepted.signing)) failures.push(refuse('invalid_sign_alg', 'signature scheme', signing, accepted.signing))
  return failures
}
