import { hash as hashOf, timingSafeEqual } from 'node:crypto'
import { isKeylimeError } from '../errors.ts'
import { type HashName, hashAlgOf } from '../tpm/algorithms.ts'
import type { ClockInfo } from '../tpm/attest.ts'
import type { PublicArea } from '../tpm/public-area.ts'
import { verifySignature } from '../tpm/signature.ts'
import { type Failure, irrecoverable } from '../verdict/failure.ts'
import { parseQuote, type Quote } from './quote-text.ts'

declare const verified: unique symbol

/** PCR values that a TPM signed for a nonce of ours. Only `verifyQuote` makes one; policies accept nothing else. */
export interface VerifiedPcrs {
  readonly [verified]: true
  readonly hash: HashName
  readonly values: ReadonlyMap<number, Buffer>
}

export interface ExpectedQuote {
  /** The attestation key that the registrar bound to the agent's id. */
  ak: Pick<PublicArea, 'type' | 'key'>
  /** Exactly these bytes must be in extraData. */
  nonce: Buffer
  /** Bank that the reply announced; the signature and the selection must agree. */
  hash: HashName
  /** Scheme that the reply announced, and that was accepted; absent when it announced none. */
  signing?: string | undefined
  /** PCRs that were asked for, ascending; null accepts any selection (one-shot verification). */
  pcrs: readonly number[] | null
}

export type QuoteVerdict = { ok: true; pcrs: VerifiedPcrs; clockInfo: ClockInfo } | { ok: false; failures: Failure[] }

/**
 * The checks of protocol 4.6, steps 5 to 8, and the one that binds the values to the *signed* selection. Signature first: nothing of the
 * quote is trusted earlier. Exactly one bank; signed selection = selection of the values = what was asked.
 */
export function verifyQuote(text: string, expected: ExpectedQuote): QuoteVerdict {
  let quote: Quote
  try {
    quote = parseQuote(text)
  } catch (error) {
    if (!isKeylimeError(error)) throw error
    return rejected(`the quote cannot be read: ${error.message}`)
  }
  return firstDefect(quote, expected) ?? { ok: true, pcrs: quote.pcrs as unknown as VerifiedPcrs, clockInfo: quote.attest.clockInfo }
}

function firstDefect({ attestBytes, attest, signature, pcrs }: Quote, expected: ExpectedQuote): QuoteVerdict | undefined {
  const { hash } = expected
  if (expected.signing !== undefined && signature.algorithm !== expected.signing)
    return rejected('the signature uses another scheme than the reply says', { got: signature.algorithm, expected: expected.signing })
  if (signature.hash !== hash)
    return rejected('the signature uses another hash than the reply says', { got: signature.hash, expected: hash })
  if (!verifySignature(expected.ak, attestBytes, signature))
    return rejected('the signature does not verify with the attestation key of this agent')
  if (!sameBytes(attest.extraData, expected.nonce)) return rejected('the quote was made for another nonce: replayed, or mixed up')
  if (attest.selections.length !== 1) return rejected(`the quote covers ${attest.selections.length} PCR banks, exactly one is accepted`)
  const [selection] = attest.selections
  if (selection!.algorithm !== hashAlgOf(hash) || pcrs.hash !== hash) return rejected('the quoted PCR bank is not the one the reply says')
  const signed = selection!.pcrs.join(',')
  const shown = [...pcrs.values.keys()].join(',')
  if (signed !== shown) return rejected('the PCR numbers shown are not the signed ones', { got: shown, expected: signed })
  const asked = expected.pcrs?.join(',') ?? signed
  if (signed !== asked) return rejected('the quote covers other PCRs than were asked for', { got: signed, expected: asked })
  if (pcrs.values.size === 0) return rejected('the quote covers no PCR at all')
  if (!sameBytes(hashOf(hash, Buffer.concat([...pcrs.values.values()]), 'buffer'), attest.pcrDigest))
    return rejected('the PCR values do not hash to the signed digest')
  return undefined
}

const sameBytes = (a: Buffer, b: Buffer) => a.length === b.length && timingSafeEqual(a, b)

const rejected = (message: string, facts: Record<string, unknown> = {}): QuoteVerdict => ({
  ok: false,
  failures: [irrecoverable('qoute_validation', 'quote_validation', { message, ...facts })],
})
