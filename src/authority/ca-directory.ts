import fs from 'node:fs/promises'
import path from 'node:path'
import { KeylimeError } from '../core/errors.ts'
import { parseCertificate } from '../core/pki/certificate.ts'
import { isSignedBy } from '../core/pki/chain.ts'
import { writeFileAtomic } from '../io/files/atomic-file.ts'
import { readText } from '../io/files/read-file.ts'
import { BRIDGE, BRIDGE_BEFORE, CLIENT_BEFORE, LIST_BEFORE, RETIRED, readAuthorities } from './authority-files.ts'
import { exists } from './ca-access.ts'
import { ISSUED } from './issued-certificates.ts'

const CERTIFICATE = 'cacert.crt'
const KEY_STORE = 'private.yml'
/** There while an authority is being made: what stands beside it then is half done, and of nobody else. */
const MARKER = '.making-authority'
const OF_AUTHORITY = [
  CERTIFICATE,
  KEY_STORE,
  'ca-public.pem',
  'cacrl.pem',
  'cacrl.der',
  BRIDGE,
  LIST_BEFORE,
  RETIRED,
  BRIDGE_BEFORE,
  CLIENT_BEFORE,
]
const OF_CERTIFICATE = ['-cert.crt', '-private.pem', '-public.pem', '-pkg.zip', '-operator.zip']
const SHOWN = 10

/**
 * Looks whether a new authority may be made here: only in a directory that is empty or not there. A key without its certificate, or the reverse, is never a
 * reason for another authority: it would lock out every machine that trusts the one before. @throws KeylimeError `refused` that names what is there.
 */
export async function requireRoomForAuthority(directory: string): Promise<void> {
  const names = await visible(directory)
  if (names.length === 0 || names.includes(MARKER)) return
  const hasKey = names.includes(KEY_STORE)
  const hasCertificate = names.includes(CERTIFICATE)
  if (hasKey !== hasCertificate) throw half(directory, hasKey)
  const shown = [...names.slice(0, SHOWN), ...(names.length > SHOWN ? [`and ${names.length - SHOWN} more`] : [])]
  throw new KeylimeError(
    'refused',
    `no new authority is made in ${directory}, because there is already something there: ${shown.join(', ')}`,
    {
      hint: 'nothing was changed; name another directory: an empty one, one that does not exist yet, or that of the authority that you mean',
    },
  )
}

/** @throws KeylimeError `config_invalid` for a key without its certificate, or the reverse. */
export async function requireWholeAuthority(directory: string): Promise<void> {
  const [hasKey, hasCertificate] = await Promise.all([KEY_STORE, CERTIFICATE].map((name) => exists(path.join(directory, name))))
  if (hasKey !== hasCertificate && !(await exists(path.join(directory, MARKER)))) throw half(directory, hasKey === true)
}

/** From now on, what is in the directory may be made anew should the program end. */
export async function beginAuthority(directory: string): Promise<void> {
  await writeFileAtomic(path.join(directory, MARKER), 'an authority is being made here; it may be begun again\n', 0o600)
}

/**
 * The certificate is written last: with both halves nothing is being made any more, and what a program left that was killed then would let another authority be
 * made here one day. For who has the lock.
 */
export async function endWholeAuthority(directory: string): Promise<void> {
  const whole = await Promise.all([KEY_STORE, CERTIFICATE].map((name) => exists(path.join(directory, name))))
  if (whole.every(Boolean)) await endAuthority(directory)
}

export const endAuthority = (directory: string): Promise<void> => fs.rm(path.join(directory, MARKER), { force: true })

/** Deletes an authority and what it issued, by the signatures of its certificates; and nothing else. */
export async function removeAuthority(directory: string): Promise<void> {
  const names = await fs.readdir(directory)
  const issued = names.filter((name) => name.endsWith('-cert.crt')).map((name) => name.slice(0, -'-cert.crt'.length))
  const own: string[] = []
  for (const name of issued) if (await isOfAuthority(directory, name)) own.push(...OF_CERTIFICATE.map((end) => name + end))
  for (const name of [...own, ...OF_AUTHORITY, ISSUED])
    await fs.rm(path.join(directory, name), { force: true, recursive: name === ISSUED }).catch((cause: Error) => {
      throw new KeylimeError('file_failed', `cannot delete ${path.join(directory, name)}: ${cause.message}`, { cause })
    })
}

async function isOfAuthority(directory: string, name: string): Promise<boolean> {
  try {
    const certificate = parseCertificate(await readText(path.join(directory, `${name}-cert.crt`)))
    return (await readAuthorities(directory)).some((authority) => isSignedBy(certificate, authority))
  } catch {
    return false // whatever cannot be read was not made here
  }
}

async function visible(directory: string): Promise<string[]> {
  const names = await fs.readdir(directory).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return []
    throw new KeylimeError('file_failed', `cannot read the directory ${directory}: ${error.message}`, { cause: error })
  })
  return names.filter((name) => !name.startsWith('.') || name === MARKER).sort()
}

function half(directory: string, hasKey: boolean): KeylimeError {
  const [there, missing] = hasKey
    ? ['key of an authority (private.yml)', CERTIFICATE]
    : ['certificate of an authority (cacert.crt)', KEY_STORE]
  return new KeylimeError('config_invalid', `${directory} has the ${there}, but no ${missing}`, {
    hint: `restore ${missing} from a backup, or give it its old name back: a new authority would lock out every machine that trusts this one${hasKey ? '' : '; a key in PEM is taken over with `keylime ca import-priv`'}`,
  })
}
