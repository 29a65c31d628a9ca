import { createHash } from 'node:crypto'
import fs from 'node:fs/promises'
import path from 'node:path'
import { parseCrl, type RevocationList } from '../core/pki/crl.ts'
import type { Authority } from '../core/pki/issue.ts'
import type { Certificate } from '../core/pki/types.ts'
import { LIST_BEFORE, readAuthorities, readRetired } from './authority-files.ts'
import type { CaAccess } from './ca-access.ts'
import { openIssuer } from './issuer.ts'
import { isWrongPassword } from './key-store.ts'
import { listsPem } from './revocation-list.ts'

/** What the key store says, read without the lock: files are replaced whole. */
export interface AuthoritySnapshot {
  readonly authority: Authority
  /** The one before, while both count. */
  readonly before: Authority | undefined
  /** Whether a certificate is of this authority by the name of its issuer, or of one before it: serials of all of them are in one list. */
  readonly isOurs: (certificate: Certificate) => boolean
  /** Whether this copy of the authority is known to have given it; its own first one is not among them. */
  readonly hasGiven: (serial: bigint) => boolean
  readonly revokedSerials: readonly string[]
}

export interface PublishedCrl {
  readonly list: RevocationList
  /** As `cacrl.pem` has it. */
  readonly pem: string
  readonly revoked: ReadonlyMap<bigint, RevocationList['revoked'][number]>
  /** With its quotes, as HTTP has it. */
  readonly etag: string
}

/** A CA directory that other programs change meanwhile: each file is read again when it was replaced. */
export interface AuthorityWatch {
  /** @throws KeylimeError `wrong_password` when the password was changed, `file_failed`, `not_found`. */
  snapshot(): Promise<AuthoritySnapshot>
  /** The same; while the password is a wrong one, what was last read. What was issued or revoked since is not in it. */
  latest(): Promise<AuthoritySnapshot & { readonly isLocked: boolean }>
  /** Undefined when there is none or an unreadable one. */
  crl(): Promise<PublishedCrl | undefined>
}

export function watchAuthority(access: CaAccess): AuthorityWatch {
  const file = (name: string) => path.join(access.directory, name)
  let last: AuthoritySnapshot | undefined
  const read = async () => {
    const { certificate, key, store, before } = await openIssuer(access)
    const all = [...(await readAuthorities(access.directory)), ...(await readRetired(access.directory))]
    const names = new Set(all.map(({ subjectName }) => subjectName.matchKey))
    last = {
      ...{ authority: { certificate, key }, before, isOurs: ({ issuerName }) => names.has(issuerName.matchKey) },
      ...{ hasGiven: (serial) => store.hasGiven(serial), revokedSerials: store.revokedSerials },
    }
    return last
  }
  const snapshot = cached(file('private.yml'), read, () => access.password)
  return {
    snapshot,
    async latest() {
      try {
        return { ...(await snapshot()), isLocked: false }
      } catch (error) {
        if (!isWrongPassword(error) || !last) throw error
        return { ...last, isLocked: true }
      }
    },
    crl: cached(file('cacrl.der'), () => readPublished(file('cacrl.der'), file(LIST_BEFORE))),
  }
}

async function readPublished(file: string, fileBefore: string): Promise<PublishedCrl | undefined> {
  try {
    const list = parseCrl(await fs.readFile(file))
    return {
      list,
      pem: listsPem(list.der, await fs.readFile(fileBefore).catch(() => undefined)),
      revoked: new Map(list.revoked.map((entry) => [entry.serial, entry])),
      etag: `"${createHash('sha256').update(list.der).digest('hex').slice(0, 32)}"`,
    }
  } catch {
    return undefined
  }
}

/**
 * Reads again only when the file, or the `key` that it is read with, is another one. A failure is not kept, but for a wrong password: trying one costs
 * 100,000 rounds.
 */
function cached<T>(file: string, read: () => Promise<T>, key = () => ''): () => Promise<T> {
  let known: { stamp: string; key: string; value: Promise<T> } | undefined
  return async () => {
    const stamp = await fs.stat(file, { bigint: true }).then(
      ({ ino, mtimeNs, size }) => `${ino} ${mtimeNs} ${size}`,
      () => 'missing',
    )
    if (known?.stamp === stamp && known.key === key()) return known.value
    const value = read()
    known = { stamp, key: key(), value }
    value.catch((error) => {
      if (known?.value === value && !isWrongPassword(error)) known = undefined
    })
    return value
  }
}
