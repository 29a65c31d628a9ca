import { isIP } from 'node:net'
import { KeylimeError } from '../errors.ts'

/** RFC 1123, section 2.1; `_` too, which some networks use. */
const NAME = /^(?=.{1,253}$)(?!-)[A-Za-z0-9_-]{1,63}(?<!-)(?:\.(?!-)[A-Za-z0-9_-]{1,63}(?<!-))*\.?$/
/** What ends in a number is an address or a mistake, never a name (URL Standard, 3.5). */
const NUMERIC_END = /(?:^|\.)(?:\d+|0x[0-9a-f]*)\.?$/i

export type HostReading = { readonly host: string } | { readonly defect: string }

/**
 * The one reader of addresses, for the configuration, the command line and what comes over the wire: a host name or an IP address and nothing else. IPv6 may
 * have brackets, which are taken off, and a scope (`fe80::1%eth0`). What is wrong with anything else is said in words that go on from `…: it `.
 */
export function readHost(text: string): HostReading {
  if (text === '') return { defect: 'is empty' }
  if (/\s/.test(text)) return { defect: 'has a blank in it' }
  if (/^[a-z][a-z0-9+.-]*:\/\//i.test(text)) return { defect: 'begins with a scheme: give the address alone' }
  const bracketed = /^\[([^\]]*)\](.*)$/.exec(text)
  if (bracketed) return readBracketed(bracketed[1]!, bracketed[2]!)
  if (isIP(text) !== 0) return { host: text }
  if (/[/?#]/.test(text)) return { defect: 'has a path: give the address alone' }
  if (text.includes('@')) return { defect: 'has a user name: give the address alone' }
  if (/^[^:]+:\d+$/.test(text)) return { defect: 'has a port: give the address alone, the port has its own place' }
  if (isName(text)) return { host: text }
  if (/[\u0080-\uffff]/.test(text)) return { defect: 'has letters that a host name cannot have: write it in its ASCII form (xn--…)' }
  return { defect: 'is neither a host name nor an IP address' }
}

const isName = (text: string) => NAME.test(text) && !NUMERIC_END.test(text) && URL.canParse(`http://${text}`)

function readBracketed(inside: string, behind: string): HostReading {
  if (isIP(inside) !== 6) return { defect: 'has brackets, and no IPv6 address in them' }
  if (/^:\d+$/.test(behind)) return { defect: 'has a port: give the address alone, the port has its own place' }
  return behind === '' ? { host: inside } : { defect: 'has something after its brackets' }
}

export const isHost = (text: string): boolean => 'host' in readHost(text)

/** Stands for all addresses of a machine: to listen on, never to be reached at. */
export const isWildcard = (host: string): boolean =>
  /^0+(\.0+){3}$/.test(host) || (isIP(host) === 6 && /^[0:]+$/.test(host.replace(/%.*$/, '')))

/** A host name or an IP address, without brackets. @param what names it in the error. @throws KeylimeError `invalid_request`. */
export function parseHost(text: string, what: string): string {
  const reading = readHost(text)
  if ('host' in reading) return reading.host
  throw new KeylimeError('invalid_request', `${what} ${JSON.stringify(text.slice(0, 100))}: it ${reading.defect}`, {
    hint: 'give a host name or an IP address alone, such as 10.0.0.7, fd00::7 or web1.example.org',
  })
}
