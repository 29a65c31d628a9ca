import { KeylimeError } from '../errors.ts'
import type { Certificate } from '../pki/types.ts'
import { sized, u16 } from '../tpm/byte-writer.ts'
import { ekTemplate, type KeyKind } from '../tpm/templates.ts'

/**
 * The EK's public area for agents that send only its certificate (Keylime 6): the TCG default template with the certificate's key in it.
 * If the TPM's EK was made otherwise, its name differs and the agent cannot answer the challenge: nothing is lost but the registration.
 * @throws KeylimeError `invalid_request` for keys without a default template.
 */
export function ekFromCertificate(certificate: Certificate): Buffer {
  const jwk = certificate.publicKey.export({ format: 'jwk' })
  const kind = kindOf(jwk)
  const template = kind ? ekTemplate(kind) : null
  if (!kind || !template) throw new KeylimeError('invalid_request', `no default EK template fits the certificate's ${jwk.kty} key`)
  const area = template.public.subarray(2)
  const unique = kind.startsWith('rsa') ? sized(bytes(jwk.n)) : Buffer.concat([sized(bytes(jwk.x)), sized(bytes(jwk.y))])
  const emptyUnique = kind === 'rsa2048' ? 2 + 256 : kind === 'ecc256' ? 2 * (2 + 32) : 2 * 2
  const filled = Buffer.concat([area.subarray(0, area.length - emptyUnique), unique])
  return Buffer.concat([u16(filled.length), filled])
}

function kindOf(jwk: { kty?: string; crv?: string; n?: string }): KeyKind | null {
  if (jwk.kty === 'RSA') return bytes(jwk.n).length === 256 ? 'rsa2048' : null
  return jwk.crv === 'P-256' ? 'ecc256' : jwk.crv === 'P-384' ? 'ecc384' : null
}

const bytes = (text: string | undefined) => Buffer.from(text ?? '', 'base64url')
