import { KeylimeError } from '../errors.ts'
import { parseCertificate } from './certificate.ts'
import type { Certificate } from './types.ts'

const ONE_BLOCK = /^\s*-----BEGIN CERTIFICATE-----[A-Za-z0-9+/=\s]*-----END CERTIFICATE-----\s*$/

/**
 * The certificate of a text that holds exactly one, PEM or base64 of DER, and nothing else: what is stored and shown to others must bring no
 * private key and no second certificate along. @throws KeylimeError `invalid_request` that names the field and never repeats the text.
 */
export function parseSingleCertificate(text: string, field: string): Certificate {
  const blocks = text.match(/-----BEGIN /g)?.length ?? 0
  if (/PRIVATE KEY-----/.test(text))
    throw invalid(`${field} holds a private key`, 'give the certificate alone, and make a new key: this one is known now')
  if (blocks > 1) throw invalid(`${field} holds ${blocks} PEM blocks, exactly one certificate is taken`)
  if (blocks === 1 && !ONE_BLOCK.test(text)) throw invalid(`${field} holds no certificate, or more than one certificate`)
  try {
    return parseCertificate(text)
  } catch (cause) {
    throw new KeylimeError('invalid_request', `${field} is not a certificate`, { cause })
  }
}

const invalid = (message: string, hint?: string) => new KeylimeError('invalid_request', message, hint ? { hint } : {})
