import { formatQuote, parseQuote } from '../../../src/core/quote/quote-text.ts'
import { type ExpectedQuote, verifyQuote } from '../../../src/core/quote/verify-quote.ts'
import { parsePublicArea } from '../../../src/core/tpm/public-area.ts'
import { machineQuote } from '../../machines.ts'
import { demand, type Target, unlessRefused } from '../target.ts'

const MACHINES = ['secure-boot-ima-ng', 'quote-ecc'] as const
let known: { expected: ExpectedQuote; attest: Buffer; values: string }[] | undefined

/** Keylime's text form of a quote, and the whole check of one: nothing but what the TPM signed is ever good. */
export const quoteText: Target = {
  seeds: () => MACHINES.map((machine) => Buffer.from(machineQuote(machine).text)),
  maxBytes: 8192,
  run(input) {
    const text = input.toString('utf8')
    const quote = unlessRefused(['malformed'], () => parseQuote(text))
    if (quote) {
      const signature = Buffer.from(text.slice(1).split(':')[1]!, 'base64')
      const again = parseQuote(formatQuote(quote.attestBytes, signature, quote.pcrs))
      demand(
        again.attestBytes.equals(quote.attestBytes) && again.signature.value.equals(quote.signature.value),
        'written again it is another quote',
      )
    }
    for (const { expected, attest, values } of knownQuotes()) {
      const verdict = verifyQuote(text, expected)
      if (verdict.ok) demand(quote!.attestBytes.equals(attest) && valuesOf(verdict.pcrs.values) === values, 'a forged quote is good')
    }
  },
}

function knownQuotes() {
  known ??= MACHINES.map((machine) => {
    const { text, nonce, ak } = machineQuote(machine)
    const { attestBytes, pcrs } = parseQuote(text)
    return {
      expected: { ak: parsePublicArea(ak), nonce, hash: 'sha256' as const, pcrs: null },
      attest: attestBytes,
      values: valuesOf(pcrs.values),
    }
  })
  return known
}

const valuesOf = (values: ReadonlyMap<number, Buffer>) => JSON.stringify([...values].map(([pcr, value]) => [pcr, value.toString('hex')]))
