import path from 'node:path'
import type { RevocationList, RevocationReason } from '../core/pki/crl.ts'
import type { Certificate } from '../core/pki/types.ts'
import { removeLeftovers } from '../io/files/atomic-file.ts'
import { withFileLock } from '../io/files/file-lock.ts'
import { type CaAccess, requireCaDirectory } from './ca-access.ts'
import { endWholeAuthority, requireWholeAuthority } from './ca-directory.ts'
import { type Issued, type IssueRequest, issueCertificate } from './issue-certificate.ts'
import { beginIssued, inOrderOfIssue } from './issued-certificates.ts'
import { type Issuer, openIssuer } from './issuer.ts'
import { publishCrl, revokeSerials } from './revocation-list.ts'
import { type RevokedName, revokeName, revokeWithEarlier } from './revoke-name.ts'
import { currentAuthority } from './sign-authority.ts'

/** An authority that is open, and locked: two programs at once lose no serial and no revocation. */
export interface OpenAuthority {
  readonly access: CaAccess
  readonly certificate: Certificate
  /** Decimal. */
  readonly revokedSerials: readonly string[]
  /** The private key of an issued certificate, unencrypted PEM, when this authority made it. */
  privateKeyOf(name: string): string | undefined
  /** Whether this copy of the authority is known to have given a serial. */
  hasGiven(serial: bigint): boolean
  issue(request: IssueRequest): Promise<Issued>
  /** Revokes a serial for ever and publishes the list. @returns false when it was revoked before. */
  revoke(serial: bigint, reason?: RevocationReason): Promise<boolean>
  /** The same for several, with one write and one list. @returns those that were not revoked before. */
  revokeAll(serials: readonly bigint[], reason?: RevocationReason): Promise<bigint[]>
  /** The same for every certificate that a name has had. @throws KeylimeError `not_found` when there is none. */
  revokeName(name: string, reason?: RevocationReason): Promise<RevokedName>
  /** The same for certificates, and for those that their names had before them. */
  revokeWithEarlier(serials: readonly bigint[], reason?: RevocationReason): Promise<bigint[]>
  publishCrl(): Promise<RevocationList>
  /** Has the authority's certificate name the list's address as it is configured now. */
  refresh(): Promise<Certificate>
  /** Encrypts the key store with another password. */
  changePassword(password: string): Promise<void>
}

/** Opens and locks the authority of a directory for as long as `work` runs. @throws KeylimeError `not_found`, `wrong_password`, `unavailable`. */
export async function withAuthority<T>(access: CaAccess, work: (authority: OpenAuthority) => Promise<T>): Promise<T> {
  return withIssuer(access, (issuer) => work(opened(issuer)))
}

/** The same with what signing works with, for this folder. */
export async function withIssuer<T>(access: CaAccess, work: (issuer: Issuer) => Promise<T>): Promise<T> {
  await requireWholeAuthority(access.directory)
  await requireCaDirectory(access.directory)
  return withDirectoryLock(access, async () => {
    const issuer = await openIssuer(access)
    const kept = await beginIssued(access.directory, issuer.store)
    const missing = kept.filter(({ serial }) => !issuer.store.hasGiven(serial)) // by a key store of yesterday: no serial is given twice
    await issuer.store.takeSerials((await inOrderOfIssue(access.directory, missing)).map(({ serial }) => serial))
    return work(issuer)
  })
}

/** Runs `work` while no other program changes the directory. What one that was killed left is put right first. */
export const withDirectoryLock = <T>({ directory }: CaAccess, work: () => Promise<T>): Promise<T> =>
  withFileLock(path.join(directory, '.lock'), async () => {
    await removeLeftovers(directory)
    await endWholeAuthority(directory)
    return work()
  })

function opened(issuer: Issuer): OpenAuthority {
  const { access, certificate, store } = issuer
  return {
    access,
    certificate,
    get revokedSerials() {
      return store.revokedSerials
    },
    privateKeyOf: (name) => store.privateKeyOf(name),
    hasGiven: (serial) => store.hasGiven(serial),
    issue: (request) => issueCertificate(issuer, request),
    revoke: async (serial, reason = 'unspecified') => (await revokeSerials(issuer, [serial], reason)).length > 0,
    revokeAll: (serials, reason = 'unspecified') => revokeSerials(issuer, serials, reason),
    revokeName: (name, reason = 'unspecified') => revokeName(issuer, name, reason),
    revokeWithEarlier: (serials, reason = 'unspecified') => revokeWithEarlier(issuer, serials, reason),
    publishCrl: () => publishCrl(issuer),
    refresh: () => currentAuthority(issuer),
    changePassword: (password) => store.changePassword(password),
  }
}
