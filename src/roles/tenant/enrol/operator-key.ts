import type { KeyObject } from 'node:crypto'
import { KeylimeError } from '../../../core/errors.ts'
import { parseCertificate } from '../../../core/pki/certificate.ts'
import { givesRoles, roleOf } from '../../../core/pki/roles.ts'
import type { Certificate } from '../../../core/pki/types.ts'
import { parseKeyText } from '../../../io/files/key-file.ts'
import type { TlsIdentity } from '../../../io/files/tls-identity.ts'

declare const operator: unique symbol

/** By which orders are signed. Only `operatorKey` makes one: machines refuse an order of any other certificate. */
export interface OperatorKey {
  readonly [operator]: true
  readonly key: KeyObject
  readonly certificate: Certificate
}

/** The tenant's own key. @throws KeylimeError `refused` where its certificate is not an operator's. */
export function operatorKey(identity: TlsIdentity): OperatorKey {
  const certificate = parseCertificate(identity.cert)
  const authorities = identity.ca.map((pem) => parseCertificate(pem))
  if (roleOf(certificate) !== 'operator')
    throw refused(`the tenant's own certificate "${certificate.subject}" is not an operator's`, authorities)
  const authority = authorities.find(({ subjectName }) => subjectName.matchKey === certificate.issuerName.matchKey)
  if (authority && !givesRoles(authority)) throw refused(`the authority of the tenant's certificate gives no roles`, authorities)
  const { key: pem, keyFile: file, keyPassword: password = '' } = identity
  return { key: parseKeyText(pem, { file, password, option: 'client_key' }), certificate } as unknown as OperatorKey
}

function refused(reason: string, authorities: readonly Certificate[]): KeylimeError {
  const hasRoles = authorities.some(givesRoles)
  return new KeylimeError('refused', `${reason}: a machine accepts what waits at the verifier only if an operator has ordered it`, {
    hint: hasRoles
      ? 'nothing was sent; on the authority’s host, `keylime ca operator NAME` makes an operator’s certificate: name its files in client_cert and client_key of tenant.conf'
      : 'nothing was sent; `keylime ca reissue` makes the authority give roles; then `keylime ca operator NAME` makes an operator’s certificate for client_cert and client_key of tenant.conf',
  })
}
