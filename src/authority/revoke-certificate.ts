import type { RevocationReason } from '../core/pki/crl.ts'
import type { CaAccess } from './ca-access.ts'
import { requireCertificateName } from './list-certificates.ts'
import { withAuthority } from './open-authority.ts'
import type { RevokedName } from './revoke-name.ts'

/** Revokes every certificate of a name, or one by its serial, and publishes the list. @throws KeylimeError `not_found`, `invalid_request`. */
export async function revokeCertificate(
  access: CaAccess,
  which: { name: string } | { serial: bigint },
  reason: RevocationReason,
): Promise<RevokedName> {
  if ('name' in which) requireCertificateName(which.name)
  return withAuthority(access, async (authority) => {
    if ('name' in which) return authority.revokeName(which.name, reason)
    const serials = [which.serial]
    const elsewhere = serials.filter((serial) => !authority.hasGiven(serial))
    return { serials, fresh: await authority.revokeAll(serials, reason), unknown: [], elsewhere }
  })
}
