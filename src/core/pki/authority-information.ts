import { isKeylimeError } from '../errors.ts'
import { childrenOf, readElement, readOid } from './der.ts'
import type { Certificate } from './types.ts'

const AUTHORITY_INFORMATION_ACCESS = '1.3.6.1.5.5.7.1.1'
const CA_ISSUERS = '1.3.6.1.5.5.7.48.2'
/** GeneralName, uniformResourceIdentifier. */
const URI = 0x86

/** Where the certificate of its issuer can be fetched, as it says itself (RFC 5280, section 4.2.2.1); nothing that can be trusted. Empty for what cannot be read. */
export function issuerUrls(certificate: Certificate): string[] {
  const extension = certificate.extensions.get(AUTHORITY_INFORMATION_ACCESS)
  if (!extension) return []
  try {
    return childrenOf(readElement(extension.value)).flatMap((description) => {
      const [method, location] = childrenOf(description)
      if (!method || !location || location.tag !== URI || readOid(method) !== CA_ISSUERS) return []
      const url = location.content.toString('latin1')
      return /^https?:\/\/[\x21-\x7e]{1,1000}$/.test(url) ? [url] : []
    })
  } catch (error) {
    if (isKeylimeError(error)) return []
    throw error
  }
}
