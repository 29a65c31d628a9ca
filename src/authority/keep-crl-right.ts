import fs from 'node:fs/promises'
import path from 'node:path'
import { causeChain } from '../core/errors.ts'
import { parseCertificate } from '../core/pki/certificate.ts'
import { isCrlSignedBy, type RevocationList } from '../core/pki/crl.ts'
import { readText } from '../io/files/read-file.ts'
import type { Logger } from '../io/log/logger.ts'
import { type CaAccess, exists } from './ca-access.ts'
import { withAuthority } from './open-authority.ts'
import { readCrl } from './revocation-list.ts'
import { type AuthorityWatch, watchAuthority } from './watch-authority.ts'

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
    logger.info(`revocation list published again: ${reason}`)
  } catch (error) {
    logger.error(`the revocation list cannot be published again: ${causeChain(error).join(': ')}`)
  }
}

/**
 * The same for the authority of `tls_dir = generate`, which no `keylime ca listen` keeps. Its key store is opened only when the list is due: the password of one
 * that was made elsewhere may not be known.
 */
export async function keepTlsCrl(access: CaAccess, logger: Logger): Promise<void> {
  const { directory, now } = access
  if (!(await exists(path.join(directory, 'private.yml')))) return
  const list = await readCrl(directory)
  const authority = await readText(path.join(directory, 'cacert.crt')).then(parseCertificate, () => undefined)
  const isRight = list && authority && isCrlSignedBy(list.der, authority) && whyOld(list, access, now()) === undefined
  if (!isRight) await keepCrlRight({ access, watch: watchAuthority(access), logger })
}

async function whyAnew(access: CaAccess, watch: AuthorityWatch): Promise<string | undefined> {
  const { authority, revokedSerials } = await watch.snapshot()
  const crl = await watch.crl()
  if (!crl) return 'there was none'
  if (!isCrlSignedBy(crl.list.der, authority.certificate)) return 'it was not signed by this authority'
  const missing = revokedSerials.filter((serial) => !crl.revoked.has(BigInt(serial)))
  if (missing.length > 0) return `serial ${missing.join(', ')} was revoked, but not in it`
  const old = whyOld(crl.list, access, access.now())
  if (old) return old
  const pem = await fs.readFile(path.join(access.directory, 'cacrl.pem'), 'utf8').catch(() => '')
  return pem.replace(/\s/g, '') === crl.pem.replace(/\s/g, '') ? undefined : 'cacrl.pem was not the same list'
}

function whyOld({ thisUpdate, nextUpdate = 0 }: RevocationList, { settings }: CaAccess, now: number): string | undefined {
  if (thisUpdate > now) return 'it began in the future: the clock was ahead when it was made'
  return nextUpdate - now < (settings.crlLifetimeDays * DAY_MS) / 4 ? 'it would soon run out' : undefined
}
