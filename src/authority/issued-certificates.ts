import fs from 'node:fs/promises'
import path from 'node:path'
import { isKeylimeError, KeylimeError } from '../core/errors.ts'
import { parseCertificate } from '../core/pki/certificate.ts'
import { isSignedBy } from '../core/pki/chain.ts'
import type { Certificate } from '../core/pki/types.ts'
import { makeDirectory, removeLeftovers, writeFileAtomic } from '../io/files/atomic-file.ts'
import { readText } from '../io/files/read-file.ts'
import { readAuthorities } from './authority-files.ts'

/** Below the directory of an authority: every certificate that it has issued, a file each. What a later one of the same name took the place of is still good, and this alone has it. */
export const ISSUED = 'issued'
/** In it: the last serial that was given before anybody kept them. Written last: with it the directory is whole. */
const BEGIN = 'begins-after'

export interface IssuedCertificate {
  readonly name: string
  readonly serial: bigint
}

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

/** Serials of all certificates that a name has had, rising. Those of a directory that is older than this file: the one that stands there now. */
export async function serialsOf(directory: string, name: string): Promise<bigint[]> {
  const kept = (await issuedCertificates(directory)).filter((one) => one.name === name).map(({ serial }) => serial)
  const current = await currentOf(directory, name)
  return [...new Set([...kept, ...(current ? [current.serial] : [])])].sort((a, b) => (a < b ? -1 : 1))
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
  const begin = Number(await readText(path.join(directory, ISSUED, BEGIN)).catch(() => '1'))
  const kept = new Set([...(await issuedCertificates(directory)).map(({ serial }) => serial), ...known])
  const before = Array.from({ length: Math.max(0, begin - 1) }, (_, i) => BigInt(i + 2))
  return before.filter((serial) => !kept.has(serial))
}

/**
 * Makes the directory where there is none, of an authority that is older than it or has lost it: with what is known still, which is the last certificate of each name.
 * For who has the lock. @returns the highest serial in it.
 */
export async function beginIssued(directory: string, lastSerial: number): Promise<bigint> {
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
    await writeFileAtomic(path.join(place, BEGIN), `${lastSerial}\n`, 0o644)
  }
  if (entries.some((name) => name.endsWith('.tmp'))) await removeLeftovers(place)
  return (await issuedCertificates(directory)).at(-1)?.serial ?? 1n
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
