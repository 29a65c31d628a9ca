import { KeylimeError } from '../errors.ts'
import { parseQuoteAttest, type QuoteAttest } from '../tpm/attest.ts'
import { parseSignature, type TpmSignature } from '../tpm/signature.ts'
import { decodePcrBlob, encodePcrBlob, type PcrValues } from './pcr-blob.ts'

/** A quote as it came, parsed but not verified. */
export interface Quote {
  /** The signed bytes. */
  attestBytes: Buffer
  attest: QuoteAttest
  signature: TpmSignature
  pcrs: PcrValues
}

const MAX_LENGTH = 16_384

/** Keylime's text form: `r`, then TPMS_ATTEST, TPMT_SIGNATURE and PCR blob in base64, with colons between (protocol 4.5). */
export const formatQuote = (attest: Uint8Array, signature: Uint8Array, pcrs: PcrValues): string =>
  `r${[attest, signature, encodePcrBlob(pcrs)].map((part) => Buffer.from(part).toString('base64')).join(':')}`

/** @throws KeylimeError `malformed` naming the part that is wrong. Each part is consumed exactly. */
export function parseQuote(text: string): Quote {
  if (text.length > MAX_LENGTH)
    throw new KeylimeError('malformed', `the quote has ${text.length} characters, at most ${MAX_LENGTH} are read`)
  const second = text.indexOf(':') + 1
  const third = text.indexOf(':', second) + 1
  if (text[0] !== 'r' || second === 0 || third === 0 || text.includes(':', third))
    throw new KeylimeError('malformed', 'the quote is not "r" and three parts with ":" between')
  const attestBytes = decodePart(text.slice(1, second - 1), 1)
  const signature = decodePart(text.slice(second, third - 1), 2)
  const blob = decodePart(text.slice(third), 3)
  return { attestBytes, attest: parseQuoteAttest(attestBytes), signature: parseSignature(signature), pcrs: decodePcrBlob(blob) }
}

function decodePart(part: string, number: number): Buffer {
  const bytes = Buffer.from(part, 'base64')
  if (!isWhole(part, bytes)) throw new KeylimeError('malformed', `part ${number} of the quote is not base64`)
  return bytes
}

/** The decoder passes over what is no base64, so that bytes are missing then; takes the two other characters of base64url; and reads one beyond Latin-1 as the one of its low byte. */
function isWhole(part: string, { length }: Buffer): boolean {
  const padding = part.endsWith('==') ? 2 : part.endsWith('=') ? 1 : 0
  const hasLength = part.length % 4 === 0 && length === (part.length / 4) * 3 - padding
  return hasLength && !part.includes('-') && !part.includes('_') && Buffer.byteLength(part, 'utf8') === part.length
}
