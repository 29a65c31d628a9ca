import fs from 'node:fs/promises'
import path from 'node:path'
import { KeylimeError } from '../../../core/errors.ts'
import { isKeybox, openPgpKeys } from '../../../core/packages/openpgp-keys.ts'
import { readFile } from '../../../io/files/read-file.ts'
import { type SignatureVerdict, verifySignature } from '../../../io/programs/gpgv.ts'
import type { DigestSourceContext } from '../digest-source.ts'

export interface SignatureOptions {
  /** Files of the keys that count; none: those of the system. */
  keyring?: string[] | undefined
  /** A repository of which nobody can say who signed it is taken, with a note. */
  allowUnsigned?: boolean | undefined
}

/** Where a system has the keys that its package manager trusts. */
export const DEB_KEYRINGS = ['/usr/share/keyrings', '/etc/apt/trusted.gpg.d', '/etc/apt/keyrings']
export const RPM_KEYRINGS = ['/etc/pki/rpm-gpg']

/** Keys that a distribution has withdrawn lie beside the others. */
const WITHDRAWN = /removed/
const KEY_FILE = /\.(?:gpg|asc|pgp|kbx)$|^RPM-GPG-KEY/

/** A list or a header, and its signature. */
export interface SignedData {
  name: string
  data: Buffer
  /** Detached; `inside` for `InRelease`, null when there is none. */
  signature: Buffer | 'inside' | null
  /** The key that the repository itself brings: it finds damage, and vouches for nothing. */
  ownKey?: Buffer | null
}

/**
 * Judges who signed what a repository brings. A bad signature is refused whatever is allowed; one that cannot be judged, or none, unless `allowUnsigned`.
 */
export class RepositoryKeys {
  readonly #allowUnsigned: boolean
  readonly #keys: readonly Buffer[]
  readonly #hint: string
  readonly #tell: DigestSourceContext['tell']

  private constructor(keys: readonly Buffer[], hint: string, { allowUnsigned = false }: SignatureOptions, { tell }: Told) {
    this.#keys = keys
    this.#hint = hint
    this.#tell = tell
    this.#allowUnsigned = allowUnsigned
  }

  /** @param system directories of keys, for when none are named. @throws KeylimeError for a named file that has no keys. */
  static async open(options: SignatureOptions, system: readonly string[], context: Told): Promise<RepositoryKeys> {
    const isNamed = Boolean(options.keyring?.length)
    const where = isNamed ? '' : ` (looked for in ${system.join(', ')})`
    const hint = `give the key of the repository with --keyring FILE${where}, or take it as it is with --allow-unsigned`
    return new RepositoryKeys(isNamed ? await namedKeys(options.keyring!) : await keysIn(system), hint, options, context)
  }

  /** What was signed, when that is to be relied on; it is told by whom. @throws KeylimeError `refused`. */
  async content(signed: SignedData): Promise<Buffer> {
    const verdict = await this.verdictOn(signed)
    if (verdict.outcome === 'good') this.#tell(`${signed.name}: signed by ${verdict.signer}`)
    if (verdict.outcome === 'good') return verdict.content
    this.refuseUnproved(signed.name, verdict.reason)
    this.#tell(`warning: ${signed.name}: ${verdict.reason}; it is taken as it is`)
    return signed.data
  }

  /** @throws KeylimeError `refused` when it is bad. */
  async verdictOn({ name, data, signature, ownKey }: SignedData): Promise<Exclude<SignatureVerdict, { outcome: 'bad' }>> {
    if (signature === null) return { outcome: 'unproved', reason: 'is not signed' }
    const judge = (keys: readonly Buffer[]): Promise<SignatureVerdict> =>
      verifySignature({ data, signature: signature === 'inside' ? null : signature, keys }, process.env)
    const verdict = await judge(this.#keys)
    const own = verdict.outcome === 'unproved' && ownKey ? await judge([ownKey]) : verdict
    if (own.outcome === 'bad') throw refused(name, own.reason, 'it is damaged, or someone altered it: do not use it')
    return verdict.outcome === 'bad' ? own : verdict
  }

  /** @throws KeylimeError `refused` unless that is allowed. */
  refuseUnproved(name: string, reason: string): void {
    if (!this.#allowUnsigned) throw refused(name, reason, this.#hint)
  }
}

type Told = Pick<DigestSourceContext, 'tell'>

const refused = (name: string, reason: string, hint: string) => new KeylimeError('refused', `${name}: ${reason}`, { hint })

/** @throws KeylimeError for a file that is none of keys. */
async function namedKeys(files: readonly string[]): Promise<Buffer[]> {
  return Promise.all(
    files.map(async (file) => {
      const bytes = await readFile(file)
      if (!openPgpKeys(bytes) && !isKeybox(bytes))
        throw new KeylimeError('invalid_request', `--keyring: ${file} has no OpenPGP public keys`, {
          hint: 'gpg --export --armor KEY > FILE makes such a file',
        })
      return bytes
    }),
  )
}

/** Of the system; what cannot be read is no key. */
async function keysIn(directories: readonly string[]): Promise<Buffer[]> {
  const files = await Promise.all(
    directories.map(async (directory) => {
      const names = await fs.readdir(directory).catch(() => [])
      return names.filter((name) => KEY_FILE.test(name) && !WITHDRAWN.test(name)).map((name) => path.join(directory, name))
    }),
  )
  const read = await Promise.all(files.flat().map((file) => fs.readFile(file).catch(() => null)))
  return read.filter((bytes) => bytes !== null)
}

/** Null for a file that is not there. */
export const orNone = (file: Promise<Buffer>): Promise<Buffer | null> =>
  file.catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return null
    throw error
  })
