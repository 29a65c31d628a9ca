import { createPublicKey } from 'node:crypto'
import fs from 'node:fs/promises'
import path from 'node:path'
import { KeylimeError } from '../core/errors.ts'
import { parseCertificate } from '../core/pki/certificate.ts'
import { makeAuthority } from '../core/pki/issue.ts'
import { makeKeyPair, publicKeyPem, readPrivateKey, sameKey } from '../core/pki/keys.ts'
import { upstreamSubject } from '../core/pki/names.ts'
import type { Certificate } from '../core/pki/types.ts'
import { makeDirectory, writeFileAtomic } from '../io/files/atomic-file.ts'
import { readText } from '../io/files/read-file.ts'
import { type CaAccess, isCaDirectory } from './ca-access.ts'
import { beginAuthority, endAuthority, removeAuthority, requireRoomForAuthority, requireWholeAuthority } from './ca-directory.ts'
import { BACKDATE_MS } from './issue-certificate.ts'
import { ISSUED } from './issued-certificates.ts'
import { KeyStore } from './key-store.ts'
import { withDirectoryLock } from './open-authority.ts'
import { publishCrl } from './revocation-list.ts'
import { isRandomSerial } from './serials.ts'

const DAY_MS = 86_400_000

/** Makes a new authority. @throws KeylimeError `already_exists` unless `replace`, because everything that the old one issued becomes worthless. */
export async function initAuthority(
  access: CaAccess,
  { replace, givesRoles }: { replace: boolean; givesRoles: boolean },
): Promise<Certificate> {
  const { directory } = access
  await requireWholeAuthority(directory)
  if (!(await isCaDirectory(directory))) return initCaDirectory(access, givesRoles)
  if (!replace) {
    throw new KeylimeError('already_exists', `${directory} already holds an authority`, {
      hint: 'choose another directory with -d, or add --yes to destroy it and everything that it has issued',
    })
  }
  return withDirectoryLock(access, async () => {
    await beginAuthority(directory)
    await removeAuthority(directory)
    return init(access, givesRoles)
  })
}

/**
 * Makes a new authority, in a directory that is empty or not there. When somebody else just made one, that is it.
 * @throws KeylimeError `refused` when anything else is in the directory.
 */
export async function initCaDirectory(access: CaAccess, givesRoles = true): Promise<Certificate> {
  const { directory } = access
  await requireWholeAuthority(directory)
  if (!(await isCaDirectory(directory))) await requireRoomForAuthority(directory)
  await makeDirectory(directory, 0o700).catch((cause: Error) => {
    throw new KeylimeError('file_failed', `cannot make the directory ${directory}: ${cause.message}`, {
      cause,
      hint: 'look at the directories above it: are they there, may this user write there, is the file system mounted read-only?',
    })
  })
  return withDirectoryLock(access, async () => {
    await requireWholeAuthority(directory)
    if (await isCaDirectory(directory)) return parseCertificate(await readText(path.join(directory, 'cacert.crt')))
    await requireRoomForAuthority(directory)
    await beginAuthority(directory)
    return init(access, givesRoles)
  })
}

async function init(access: CaAccess, givesRoles: boolean): Promise<Certificate> {
  const { directory, settings } = access
  const now = access.now()
  await fs.rm(path.join(directory, ISSUED), { force: true, recursive: true }) // of the one before: a program may have been killed while it removed that
  const keys = await makeKeyPair(settings.keyKind)
  const certificate = await makeAuthority({
    subject: upstreamSubject(settings.caName, settings.subject),
    ...keys,
    serial: 1n,
    notBefore: now - BACKDATE_MS,
    notAfter: now + settings.caLifetimeDays * DAY_MS,
    crlUrl: settings.crlUrl,
    givesRoles,
  })
  const store = await KeyStore.create(access, keys.privateKey, 1)
  await writeFileAtomic(path.join(directory, 'ca-public.pem'), publicKeyPem(keys.publicKey), 0o640)
  await publishCrl({ access, certificate, key: keys.privateKey, store })
  await writeFileAtomic(path.join(directory, 'cacert.crt'), certificate.pem, 0o640) // last: with it the directory counts as made
  await endAuthority(directory)
  return certificate
}

/**
 * Takes over the key of an authority whose certificate is already in the directory. @param file the key, PEM. @param lastSerial the last one that was counted.
 * @throws KeylimeError `invalid_request` for a random one, `refused` when `cacert.crt` is not the certificate of that key.
 */
export async function importKey(access: CaAccess, file: string, lastSerial: number): Promise<void> {
  if (!Number.isSafeInteger(lastSerial) || isRandomSerial(BigInt(lastSerial)))
    throw new KeylimeError('invalid_request', 'the last serial cannot have more than 15 digits', {
      hint: 'serials of 16 digits are random, and not counted: name the last one that is shorter, or 1',
    })
  const key = readPrivateKey(await readText(file))
  const certificateFile = path.join(access.directory, 'cacert.crt')
  const certificate = parseCertificate(await readText(certificateFile))
  if (!sameKey(createPublicKey(key), certificate.publicKey)) throw new KeylimeError('refused', `the key is not that of ${certificateFile}`)
  await withDirectoryLock(access, async () => {
    const store = await KeyStore.create(access, key, lastSerial)
    await publishCrl({ access, certificate, key, store })
  })
}
