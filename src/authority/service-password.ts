import { randomBytes } from 'node:crypto'
import fs from 'node:fs/promises'
import path from 'node:path'
import { isKeylimeError, KeylimeError } from '../core/errors.ts'
import { writeFileAtomic } from '../io/files/atomic-file.ts'
import { readText } from '../io/files/read-file.ts'
import { requireSecret } from '../io/files/secret-file.ts'
import { exists } from './ca-access.ts'

/** Beside the directory, not in it: a copy of the authority alone opens nothing. */
export const servicePasswordFile = (directory: string): string => `${directory}-password`

/**
 * The password of the key store that `tls_dir = generate` makes: the configured one; without one (`default`, which everybody knows) a random one, made before
 * the key store and kept in a file for this user alone. A key store from before, without such a file, has `default`. @throws KeylimeError `file_failed`.
 */
export async function servicePassword(directory: string, configured: string): Promise<string> {
  if (configured !== 'default') return configured
  const file = servicePasswordFile(directory)
  const known = await readIfThere(file)
  if (known !== null) return known
  if (await exists(path.join(directory, 'private.yml'))) return configured
  await makeOnce(file)
  const made = await readIfThere(file)
  if (made !== null) return made
  throw new KeylimeError('file_failed', `${file} vanished while it was made`)
}

const OF_SERVICES = ['cv_ca', 'reg_ca']

/** Where a password does not open the key store of a directory: a copy of a service's may have come without the file. */
export const passwordHint = (directory: string): string =>
  OF_SERVICES.includes(path.basename(directory))
    ? `if ${directory} is a copy, bring ${servicePasswordFile(directory)} along from where it was made: it has the password; or give it with KEYLIME_CA_PASSWORD or --password-file`
    : 'set KEYLIME_CA_PASSWORD, or give --password-file'

/** Before a service starts: its key store, and the password beside it. @throws KeylimeError `config_invalid` for one that every user may read. */
export async function requireSecretAuthority(directory: string): Promise<void> {
  for (const file of [path.join(directory, 'private.yml'), servicePasswordFile(directory)]) {
    const stats = await fs.stat(file).catch(() => null)
    if (stats) requireSecret(file, stats)
  }
}

/** After `keylime ca passwd`. The file keeps its owner: it is the service's, and root may have given the command. Nothing where there is no such file. */
export async function replaceServicePassword(directory: string, password: string): Promise<void> {
  const file = servicePasswordFile(directory)
  if (await exists(file)) await writeFileAtomic(file, `${password}\n`, 0o600)
}

/** Of two services that start at once, one makes it, and neither sees half of it. */
async function makeOnce(file: string): Promise<void> {
  const temporary = `${file}.${randomBytes(6).toString('hex')}.tmp`
  try {
    const handle = await fs.open(temporary, 'wx', 0o600)
    try {
      await handle.writeFile(`${randomBytes(24).toString('base64url')}\n`)
      await handle.sync()
    } finally {
      await handle.close()
    }
    await fs.link(temporary, file).catch((error: NodeJS.ErrnoException) => {
      if (error.code !== 'EEXIST') throw error
    })
  } catch (cause) {
    throw new KeylimeError('file_failed', `cannot write ${file}: ${(cause as Error).message}`, { cause })
  } finally {
    await fs.rm(temporary, { force: true })
  }
}

async function readIfThere(file: string): Promise<string | null> {
  const hint = 'it opens the key store of the authority beside it, and is for the user of the service alone'
  try {
    return (await readText(file, { isSecret: true, hint })).split('\n')[0] ?? ''
  } catch (error) {
    if (isKeylimeError(error) && error.code === 'not_found') return null
    throw error
  }
}
