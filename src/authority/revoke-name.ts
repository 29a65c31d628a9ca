import { KeylimeError } from '../core/errors.ts'
import type { RevocationReason } from '../core/pki/crl.ts'
import { issuedCertificates, serialsOf, unknownSerials } from './issued-certificates.ts'
import type { Issuer } from './issuer.ts'
import { revokeSerials } from './revocation-list.ts'

export interface RevokedName {
  /** Every certificate that the name is known to have had, the last one at the end. */
  readonly serials: readonly bigint[]
  /** Of these, what was not revoked before. */
  readonly fresh: readonly bigint[]
  /** Serials that were given before it was kept to whom: some of them may be of this name, and good still. */
  readonly unknown: readonly bigint[]
  /** Of `serials`, what this copy of the authority has not given: another one may have. */
  readonly elsewhere: readonly bigint[]
}

/**
 * Revokes every certificate that a name has had, and not the last alone: a machine that was issued one anew may have kept the one before. Also those whose time is
 * over, because a clock may be wrong. @throws KeylimeError `not_found` when there is none.
 */
export async function revokeName(issuer: Issuer, name: string, reason: RevocationReason): Promise<RevokedName> {
  const { access, store } = issuer
  const serials = await serialsOf(access.directory, name)
  if (serials.length === 0)
    throw new KeylimeError('not_found', `there is no certificate for ${name} of the authority in ${access.directory}`, {
      hint: '`keylime ca list` shows all of them',
    })
  const fresh = await revokeSerials(issuer, serials, reason)
  return { serials, fresh, unknown: await unknownSerials(access.directory, store.revokedSerials.map(BigInt)), elsewhere: [] }
}

/** A machine that failed may have kept what it had before: what its name had up to that certificate ends with it. What it was given since does not. @returns those that were not revoked before. */
export async function revokeWithEarlier(issuer: Issuer, serials: readonly bigint[], reason: RevocationReason): Promise<bigint[]> {
  const issued = await issuedCertificates(issuer.access.directory)
  const order = new Map(issuer.store.issuedSerials.map((serial, i) => [BigInt(serial), i]))
  const isBefore = (a: bigint, b: bigint) => (order.get(a) ?? -1) - (order.get(b) ?? -1) || (a < b ? -1 : 1)
  const earlier = serials.flatMap((serial) => {
    const name = issued.find((one) => one.serial === serial)?.name
    return issued.filter((one) => one.name === name && isBefore(one.serial, serial) < 0).map((one) => one.serial)
  })
  return revokeSerials(issuer, [...serials, ...earlier], reason)
}
