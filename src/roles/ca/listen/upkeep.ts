import fs from 'node:fs/promises'
import path from 'node:path'
import type { CaAccess } from '../../../authority/ca-access.ts'
import { withAuthority } from '../../../authority/open-authority.ts'
import type { AuthorityWatch } from '../../../authority/watch-authority.ts'
import { causeChain } from '../../../core/errors.ts'
import { isCrlSignedBy } from '../../../core/pki/crl.ts'
import type { Logger } from '../../../io/log/logger.ts'

const DAY_MS = 86_400_000

export interface UpkeepOptions {
  readonly access: CaAccess
  readonly watch: AuthorityWatch
  readonly logger: Logger
}

/**
 * Publishes the revocation list anew when it must be: less than a quarter of its life is left, it is missing or of another key, or a program that was killed
 * between two steps left something revoked that is not in it. Never throws: what fails is logged, the old list stays, and the next turn tries again.
 */
export async function keepCrlRight({ access, watch, logger }: UpkeepOptions): Promise<void> {
  try {
    const reason = await whyAnew(access, watch)
    if (!reason) return
    await withAuthority(access, (authority) => authority.publishCrl())
    logger.info(`revocation list published anew: ${reason}`)
  } catch (error) {
    logger.error(`the revocation list cannot be published anew: ${causeChain(error).join(': ')}`)
  }
}

async function whyAnew(access: CaAccess, watch: AuthorityWatch): Promise<string | undefined> {
  const { authority, revokedSerials } = await watch.snapshot()
  const crl = await watch.crl()
  if (!crl) return 'there was none'
  if (!isCrlSignedBy(crl.list.der, authority.certificate)) return 'it was not signed by this authority'
  const missing = revokedSerials.filter((serial) => !crl.revoked.has(BigInt(serial)))
  if (missing.length > 0) return `serial ${missing.join(', ')} was revoked, but not in it`
  const left = (crl.list.nextUpdate ?? 0) - access.now()
  if (left < (access.settings.crlLifetimeDays * DAY_MS) / 4) return 'it would soon run out'
  const pem = await fs.readFile(path.join(access.directory, 'cacrl.pem'), 'utf8').catch(() => '')
  return pem.replace(/\s/g, '') === crl.pem.replace(/\s/g, '') ? undefined : 'cacrl.pem was not the same list'
}
