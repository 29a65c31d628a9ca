import { isIP } from 'node:net'
import { KeylimeError } from '../errors.ts'

/** RFC 1123, section 2.1; `_` too, which some networks use. */
const NAME = /^(?=.{1,253}$)(?!-)[A-Za-z0-9_-]{1,63}(?<!-)(?:\.(?!-)[A-Za-z0-9_-]{1,63}(?<!-))*\.?$/
/** A name whose last part is a number is an address or a mistake, to URLs and to the resolver: `0x7f` is 0.0.0.127 (WHATWG URL, "ends in a number"). */
const NUMERIC = /(?:^|\.)(?:\d+|0[xX][0-9a-fA-F]*)\.?$/

export const isHost = (text: string): boolean => isIP(text) !== 0 || (NAME.test(text) && !NUMERIC.test(text))

/** A host name or an IP address and nothing else: no port, scheme, user, brackets or blanks. @throws KeylimeError `invalid_request`. */
export function parseHost(text: string, what: string): string {
  if (isHost(text)) return text
  throw new KeylimeError('invalid_request', `${what} ${JSON.stringify(text.slice(0, 100))} is neither a host name nor an IP address`, {
    hint: 'give the address alone: the port has a field of its own',
  })
}
