import fs from 'node:fs'
import path from 'node:path'
import { causeChain, KeylimeError } from '../../core/errors.ts'
import { parseCertificates } from '../../core/pki/certificate.ts'
import { isCrlSignedBy, parseCrls } from '../../core/pki/crl.ts'
import type { AuthorityList } from '../../core/pki/judge-client.ts'
import type { Certificate } from '../../core/pki/types.ts'
import type { Logger } from '../log/logger.ts'

/** A file with certificates of authorities that are trusted. */
export interface TrustedFile {
  readonly file: string
  readonly certificates: readonly Certificate[]
}

export interface RevocationListsOptions {
  readonly trusted: readonly TrustedFile[]
  /** Option `trusted_client_crl`: absolute paths; `default` is `cacrl.der` or `cacrl.pem` beside each file of `trusted`, if it is there. */
  readonly files: readonly string[]
  /** Milliseconds since the epoch. */
  now(): number
  readonly logger: Logger
}

export interface RevocationLists {
  /** What is known now; another object when it is another. Costs a `stat` of each file. */
  current(): readonly AuthorityList[]
  /** What lists have said before counts here too, where a file has nothing of the same authority that is as new. */
  countOn(before: readonly AuthorityList[]): void
}

const MAX_BYTES = 32 << 20
const DAY_MS = 86_400_000
/** Files of authorities that changed are read again within this time, or it is told that they cannot be used. */
const AUTHORITIES_MS = 60_000
const OPTION = 'trusted_client_crl'
/** Of the authority before, while `keylime ca rotate` is not finished. */
const LIST_BEFORE = 'cacrl-before.der'

interface Watched {
  readonly file: string
  readonly authorities: readonly Certificate[]
  /** The configuration names it. */
  readonly isNamed: boolean
  stamp: string
  lists: readonly AuthorityList[]
  /** When it was last told that it has ended. */
  toldMs: number
  /** It is another one that cannot be used, and waits for the authorities to be read again. */
  waits: { readonly stamp: string; readonly since: number } | null
}

/**
 * Revocation lists of files, read again when they change. Revoked stays revoked (decision 50): a list that is lost, faulty, or older than the one before is
 * told and changes nothing, one that has ended still counts. A list of an authority that is to be read yet, as in a rotation, is waited for in silence. @throws KeylimeError `config_invalid` when at the start one is faulty, or missing although it must be there.
 */
export function openRevocationLists(options: RevocationListsOptions): RevocationLists {
  const { now, logger } = options
  const watched = filesOf(options).map(
    (place): Watched => ({ ...place, stamp: 'missing', lists: [], toldMs: Number.NEGATIVE_INFINITY, waits: null }),
  )
  for (const file of watched) {
    try {
      file.stamp = stampOf(file.file)
      file.lists = read(file)
    } catch (cause) {
      throw new KeylimeError('config_invalid', `${OPTION}: the revocation list ${file.file} cannot be used: ${causeChain(cause)[0]}`, {
        cause,
        hint: `publish it again (\`keylime ca crl -d ${path.dirname(file.file)}\`), copy it from the authority, or, if you no longer trust that authority, remove its list`,
      })
    }
  }
  const ofAuthorities = () => options.trusted.map(({ file }) => stampOf(file)).join('\n')
  const readWith = ofAuthorities()
  let kept: readonly AuthorityList[] = []
  let all = watched.flatMap(({ lists }) => lists)
  return {
    current() {
      for (const file of watched) {
        tellAge(file, now(), logger)
        const stamp = stampOf(file.file)
        if (stamp === file.stamp || isWaiting(file, stamp, now())) continue
        const waits = ofAuthorities() !== readWith ? { stamp, since: file.waits?.since ?? now() } : null
        lookAgain(file, { stamp, waits, now: now(), logger })
        all = [...watched.flatMap(({ lists }) => lists), ...kept]
      }
      return all
    },
    countOn(before) {
      kept = before.filter((known) => !all.some((fresh) => isOfSame(fresh, known) && !isOlder(fresh, known)))
      all = [...all, ...kept]
      for (const { authority, list } of kept.filter((known) => isTrustedStill(options.trusted, known))) // nobody of another may call
        logger.error(`${OPTION}: no list of "${authority.subject}" is as new as the previous one; what that said still counts`, {
          revoked: list.revoked.length,
        })
    },
  }
}

function filesOf({ trusted, files }: RevocationListsOptions): Pick<Watched, 'file' | 'authorities' | 'isNamed'>[] {
  const authorities = trusted.flatMap(({ certificates }) => certificates)
  const directories = trusted.map(({ file }) => path.join(path.dirname(file), LIST_BEFORE))
  const places = [...trusted.map(({ file }) => besideOf(file)), ...directories]
  const beside = [...new Set(places)].map((file) => ({ file, authorities, isNamed: false }))
  return files.flatMap((file) => (file === 'default' ? beside : [{ file, authorities, isNamed: true }]))
}

/** As the files say now: they may have been read a moment before an authority was dropped, and its list with it. */
const isTrustedStill = (trusted: readonly TrustedFile[], { authority }: AuthorityList): boolean =>
  trusted.some(({ file, certificates }) => {
    const isOfFile = certificates.some(({ spki }) => spki.equals(authority.spki))
    return isOfFile && authoritiesNow(file, certificates).some(({ spki }) => spki.equals(authority.spki))
  })

function authoritiesNow(file: string, before: readonly Certificate[]): readonly Certificate[] {
  try {
    return parseCertificates(fs.readFileSync(file, 'utf8'))
  } catch {
    return before
  }
}

function besideOf(certificateFile: string): string {
  const directory = path.dirname(certificateFile)
  const [der, pem] = [path.join(directory, 'cacrl.der'), path.join(directory, 'cacrl.pem')]
  return !fs.existsSync(der) && fs.existsSync(pem) ? pem : der
}

/** For the first look. An authority's own directory always has a list; beside a copy of its certificate there may be none. */
function read(file: Watched): readonly AuthorityList[] {
  if (path.basename(file.file) === LIST_BEFORE) return parseOfBefore(file)
  if (file.stamp !== 'missing') return parse(file)
  const isLost = fs.existsSync(path.join(path.dirname(file.file), 'private.yml'))
  if (isLost || file.isNamed) throw new KeylimeError('not_found', 'it is missing')
  return []
}

/** A copy may outlast the authority: what an authority says that is trusted no more is of no use, and does no harm. */
function parseOfBefore(file: Watched): readonly AuthorityList[] {
  try {
    return parse(file)
  } catch {
    return []
  }
}

interface Look {
  readonly stamp: string
  /** Set while the files of the authorities are others than those that are known. */
  readonly waits: Watched['waits']
  readonly now: number
  readonly logger: Logger
}

function lookAgain(file: Watched, { stamp, waits, now, logger }: Look): void {
  const keeps = file.lists.length > 0 ? 'what it said before still counts' : 'nobody is known to be revoked'
  try {
    if (stamp === 'missing') throw new KeylimeError('not_found', 'it is gone')
    const lists = parse(file)
    if (lists.some((fresh) => file.lists.some((known) => isOlder(fresh, known))))
      throw new KeylimeError('conflict', 'it is older than the previous one')
    file.lists = lists
    file.toldMs = Number.NEGATIVE_INFINITY
    logger.info(`the revocation list ${file.file} was read again`, {
      revoked: lists.reduce((sum, { list }) => sum + list.revoked.length, 0),
    })
  } catch (error) {
    file.waits = waits
    if (isWaiting(file, stamp, now)) return
    logger.error(`the revocation list ${file.file} cannot be used: ${causeChain(error).join(': ')}; ${keeps}`)
  }
  file.stamp = stamp
  file.waits = null
}

/** It is not read again and again meanwhile. */
const isWaiting = ({ waits }: Watched, stamp: string, now: number): boolean =>
  waits !== null && waits.stamp === stamp && now - waits.since < AUTHORITIES_MS

const isOfSame = (one: AuthorityList, other: AuthorityList): boolean => one.authority.spki.equals(other.authority.spki)

const isOlder = (fresh: AuthorityList, known: AuthorityList): boolean =>
  isOfSame(fresh, known) && (fresh.list.number ?? 0n) < (known.list.number ?? 0n)

function parse({ file, authorities }: Watched): AuthorityList[] {
  if (fs.statSync(file).size > MAX_BYTES) throw new KeylimeError('payload_too_large', `it has more than ${MAX_BYTES >> 20} MiB`)
  return parseCrls(fs.readFileSync(file)).map((list) => {
    const authority = authorities.find((candidate) => isCrlSignedBy(list.der, candidate))
    if (!authority) throw new KeylimeError('malformed', 'no trusted authority has signed it')
    return { authority, list }
  })
}

/** A file that cannot be checked, by an agent that is no longer root perhaps, is one that changed, not a failed request. */
function stampOf(file: string): string {
  try {
    const stat = fs.statSync(file, { bigint: true, throwIfNoEntry: false })
    return stat ? `${stat.ino} ${stat.mtimeNs} ${stat.size}` : 'missing'
  } catch (error) {
    return String((error as NodeJS.ErrnoException).code)
  }
}

function tellAge(file: Watched, now: number, logger: Logger): void {
  if (now - file.toldMs < DAY_MS) return
  const ended = file.lists.find(({ list }) => list.nextUpdate !== undefined && list.nextUpdate < now)
  if (!ended) return
  file.toldMs = now
  const date = new Date(ended.list.nextUpdate ?? 0).toISOString().slice(0, 10)
  logger.warn(`the revocation list ${file.file} ended on ${date}: what it says still counts, but later revocations are not in it`)
}
