import path from 'node:path'
import { endingCertificates } from '../../../authority/ending-certificates.ts'
import { causeChain } from '../../../core/errors.ts'
import { identityDates } from '../../../io/files/identity-dates.ts'
import { clientIdentity, type TenantContext } from '../tenant-context.ts'

/**
 * What will stop working soon, as sentences for whoever looks at his machines: the tenant's own certificate, the CAs that it believes, and the certificates of
 * machines where their authority is here. Never throws: it is said beside something else.
 */
export async function soonEnding(context: Pick<TenantContext, 'config' | 'keylimeDir' | 'clock'>): Promise<string[]> {
  const now = context.clock.now()
  try {
    const own = identityDates(await clientIdentity(context), 'client', now).map(({ text }) => text)
    return [...own, ...(await endingCertificates(path.join(context.keylimeDir, 'ca'), now))]
  } catch (error) {
    return [`dates of certificates cannot be read: ${causeChain(error).join(': ')}`]
  }
}
