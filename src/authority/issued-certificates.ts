import fs from 'node:fs/promises'
import path from 'node:path'
import { isKeylimeError, KeylimeError } from '../core/errors.ts'
import { parseCertificate } from '../core/pki/certificate.ts'
import { isSignedBy } from '../core/pki/chain.ts'
import type { Certificate } from '../core/pki/types.ts'
import { makeDirectory, removeLeftovers, writeFileAtomic } from '../io/files/atomic-file.ts'
import { readText } from '../io/files/read-file.ts'
import { readAuthorities } from './authority-files.ts'
import { isCountedSerial } from './serials.ts'

/** Below the directory of an authority: every certificate that it has issued, a file each. What a later one of the same name took the place of is still good, and this alone has it. */
export const ISSUED = 'issued'
/** In it: the last serial that was counted before anybody kept them, and those that were given at random, a line each. Written last: with it the directory is whole. */
const BEGIN = 'begins-after'

export interface IssuedCertificate {
  readonly name: string
  readonly serial: bigint
}

/** What a key store says of them. */
export interface GivenSerials {
  readonly lastSerial: number
  readonly issuedSerials: readonly string[]
}

/** Nobody looks through more. */
const MOST_COUNTED = 100_000
const ENTRY = /^(\d{1,48})-(.+)\.crt$/
const CURRENT = /^(.+)-cert\.crt$/

/** Every certificate that is known to have been issued, in the order of their serials. */
export async function issuedCertificates(directory: string): Promise<IssuedCertificate[]> {
  const names = await readDirectory(path.join(directory, ISSUED))
  const known = names.flatMap((file) => {
    const [, serial, name] = ENTRY.exec(file) ?? []
    return serial && name ? [{ name, serial: BigInt(serial) }] : []
  })
  return known.sort((a, b) => (a.serial < b.serial ? -1 : 1))
}

/** One of them. @throws KeylimeError `not_found`, `malformed`. */
export const readIssued = async (directory: string, { name, serial }: IssuedCertificate): Promise<Certificate> =>
  parseCertificate(await readText(entryFile(directory, name, serial)))

/** Remembers a certificate, before anybody has it. What stands under its name and is not kept yet, because another program made it, is kept too. For who has the lock. */
export async function keepIssued(directory: string, name: string, certificate: Certificate): Promise<void> {
  const before = await currentOf(directory, name)
  for (const one of [before, certificate]) if (one) await keep(directory, name, one)
}

/** Serials of all certificates that a name has had, the last one at the end. Those of a directory that is older than this file: the one that stands there now. */
export async function serialsOf(directory: string, name: string): Promise<bigint[]> {
  const kept = (await issuedCertificates(directory)).filter((one) => one.name === name)
  const current = (await currentOf(directory, name))?.serial
  const earlier = (await inOrderOfIssue(directory, kept)).map(({ serial }) => serial).filter((serial) => serial !== current)
  return current === undefined ? earlier : [...earlier, current]
}

/** As they were issued, as far as their dates tell: random serials do not. What cannot be read comes first. */
export async function inOrderOfIssue(directory: string, issued: readonly IssuedCertificate[]): Promise<IssuedCertificate[]> {
  if (issued.length < 2) return [...issued]
  const since = (one: IssuedCertificate) =>
    readIssued(directory, one).then(
      ({ notBefore }) => notBefore,
      () => 0,
    )
  const dated = await Promise.all(issued.map(async (one) => ({ one, since: await since(one) })))
  return dated.sort((a, b) => a.since - b.since).map(({ one }) => one)
}

/** @param owner 64 hex digits that stand for a machine: the certificate was made for it, and is handed out to no other. For who has the lock. */
export const rememberOwner = (directory: string, issued: IssuedCertificate, owner: string): Promise<void> =>
  writeFileAtomic(ownerFile(directory, issued), `${owner}\n`, 0o644)

/** The machine that a certificate was made for; undefined when nobody said. @throws KeylimeError `file_failed`. */
export async function ownerOf(directory: string, issued: IssuedCertificate): Promise<string | undefined> {
  const text = await readText(ownerFile(directory, issued)).catch((error) => {
    if (isKeylimeError(error) && error.code === 'not_found') return undefined
    throw error
  })
  return text?.trim()
}

/** Serials that were given before certificates were kept, to whom nobody knows. Empty for a directory that has kept them from its beginning. */
export async function unknownSerials(directory: string, known: readonly bigint[]): Promise<bigint[]> {
  const text = await readText(path.join(directory, ISSUED, BEGIN)).catch(() => '1')
  const [begin = 1n, ...random] = text.match(/\d{1,48}/g)?.map(BigInt) ?? []
  const kept = new Set([...(await issuedCertificates(directory)).map(({ serial }) => serial), ...known])
  const counted = Array.from({ length: Math.min(MOST_COUNTED, Math.max(0, Number(begin) - 1)) }, (_, i) => BigInt(i + 2))
  return [...counted, ...random].filter((serial) => !kept.has(serial))
}

/**
 * Makes the directory where there is none, of an authority that is older than it or has lost it: with what is known still, which is the last certificate of each name.
 * For who has the lock. @param given what the key store says. @returns what is in it.
 */
export async function beginIssued(directory: string, given: GivenSerials): Promise<IssuedCertificate[]> {
  const place = path.join(directory, ISSUED)
  await refuseLink(place)
  const entries = await readDirectory(place)
  if (!entries.includes(BEGIN)) {
    await makeDirectory(place, 0o755).catch((cause: Error) => {
      throw new KeylimeError('file_failed', `cannot make the directory ${place}: ${cause.message}`, { cause })
    })
    for (const file of await readDirectory(directory)) {
      const name = CURRENT.exec(file)?.[1]
      const certificate = name === undefined ? undefined : await currentOf(directory, name)
      if (name && certificate) await keep(directory, name, certificate)
    }
    await writeFileAtomic(
      path.join(place, BEGIN),
      `${[isCountedSerial(BigInt(given.lastSerial)) ? given.lastSerial : 1, ...given.issuedSerials].join('\n')}\n`,
      0o644,
    )
  }
  if (entries.some((name) => name.endsWith('.tmp'))) await removeLeftovers(place)
  return issuedCertificates(directory)
}

const entryFile = (directory: string, name: string, serial: bigint) => path.join(directory, ISSUED, `${serial}-${name}.crt`)

const ownerFile = (directory: string, { name, serial }: IssuedCertificate) => path.join(directory, ISSUED, `${serial}-${name}.owner`)

async function keep(directory: string, name: string, certificate: Certificate): Promise<void> {
  const file = entryFile(directory, name, certificate.serial)
  const isKept = await fs.access(file).then(
    () => true,
    () => false,
  )
  if (!isKept) await writeFileAtomic(file, certificate.pem, 0o644)
}

/** What stands under the name, when this authority has signed it. */
async function currentOf(directory: string, name: string): Promise<Certificate | undefined> {
  try {
    const certificate = parseCertificate(await readText(path.join(directory, `${name}-cert.crt`)))
    const authorities = await readAuthorities(directory)
    return authorities.some((authority) => isSignedBy(certificate, authority)) ? certificate : undefined
  } catch {
    return undefined // not there, or not made here
  }
}

/** Who owns the directory above could have root write elsewhere. @throws KeylimeError `file_failed`. */
async function refuseLink(place: string): Promise<void> {
  const found = await fs.lstat(place).catch(() => undefined)
  if (found?.isSymbolicLink())
    throw new KeylimeError('file_failed', `${place} is a link: certificates are kept in a directory`, {
      hint: 'replace the link by the directory itself',
    })
}

async function readDirectory(directory: string): Promise<string[]> {
  return fs.readdir(directory).catch((cause: NodeJS.ErrnoException) => {
    if (cause.code === 'ENOENT') return []
    throw new KeylimeError('file_failed', `cannot read the directory ${directory}: ${cause.message}`, { cause })
  })
}
