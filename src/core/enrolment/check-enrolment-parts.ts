import type { EnrolmentUpdate } from '../api/verifier.ts'
import { isKeylimeError, KeylimeError } from '../errors.ts'
import { readPrivateKey } from '../pki/keys.ts'
import { parseMetaData } from '../revocation/message.ts'
import { akDefects } from '../tpm/key-defects.ts'
import type { PublicArea } from '../tpm/public-area.ts'

/**
 * What an enrolment says of keys and certificates is what it will be used for: a key share, a key that signs revocations, a JSON object.
 * Found out now, and not when a revocation must be signed. Keys for signed files are read by a worker, with the policies. @throws KeylimeError `invalid_request`
 * that names the member and repeats no key.
 */
export function checkEnrolmentParts({
  v,
  revocation_key: key,
  metadata,
}: Pick<EnrolmentUpdate, 'v' | 'revocation_key' | 'metadata'>): void {
  if (v && ![16, 32].includes(Buffer.from(v, 'base64').length)) throw invalid('v is not a key share of 16 or 32 bytes')
  if (key) checkRevocationKey(key)
  if (metadata) checkMetaData(metadata)
}

/** The same of the key that `ak_tpm` holds. */
export function checkAk(ak: PublicArea): void {
  const defects = akDefects(ak)
  if (defects.length > 0) throw invalid(`ak_tpm is not an attestation key: ${defects.join(', ')}`)
}

const invalid = (message: string, cause?: unknown) => new KeylimeError('invalid_request', message, cause ? { cause } : {})

function checkRevocationKey(pem: string): void {
  try {
    const type = readPrivateKey(pem).asymmetricKeyType
    if (type !== 'rsa') throw invalid(`revocation_key is of type ${type}: revocations are signed with RSA`)
  } catch (error) {
    if (!isKeylimeError(error) || error.code === 'invalid_request') throw error
    throw invalid(`revocation_key: ${error.message}`, error)
  }
}

function checkMetaData(text: string): void {
  let json: unknown
  try {
    json = parseMetaData(text)
  } catch (cause) {
    if (!isKeylimeError(cause)) throw cause
    throw invalid('metadata is not the JSON text of an object', cause)
  }
  if (typeof json !== 'object' || json === null || Array.isArray(json)) throw invalid('metadata is not the JSON text of an object')
}
