import type { RevocationReason } from '../core/pki/crl.ts'
import type { CaAccess } from './ca-access.ts'
import { readCertificate } from './list-certificates.ts'
import { withAuthority } from './open-authority.ts'

/** Revokes by name or by serial, and publishes the list. @returns the serial, and whether it was new. @throws KeylimeError `not_found`. */
export async function revokeCertificate(
  access: CaAccess,
  which: { name: string } | { serial: bigint },
  reason: RevocationReason,
): Promise<{ serial: bigint; isNew: boolean }> {
  const serial = 'serial' in which ? which.serial : (await readCertificate(access.directory, which.name)).serial
  return withAuthority(access, async (authority) => ({ serial, isNew: await authority.revoke(serial, reason) }))
}
