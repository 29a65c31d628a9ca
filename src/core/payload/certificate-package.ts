import { KeylimeError } from '../errors.ts'

export interface PackageEntry {
  /** Relative path with `/`; sub-directories are allowed. */
  readonly name: string
  readonly data: Uint8Array
  /** Unpacked as 0700, else as 0600. */
  readonly executable?: boolean
}

/**
 * The zip of a certificate package (protocol 3.2.2): entries stored, not compressed, in the given order, with their modes in the external attributes. A
 * later entry takes the place of an earlier one of the same name, as upstream's agents see it. @throws KeylimeError `archive_refused` for a name that no
 * agent would unpack. @param date milliseconds since the epoch, the time stamp of every entry.
 */
export async function makePackage(entries: readonly PackageEntry[], date: number): Promise<Buffer> {
  const { default: JSZip } = await import('jszip')
  const zip = new JSZip()
  for (const { name, data, executable } of entries) {
    checkName(name)
    zip.file(name, data, {
      createFolders: false,
      date: new Date(Math.floor(date / 2000) * 2000),
      unixPermissions: 0o100_000 | (executable ? 0o700 : 0o600),
    })
  }
  return zip.generateAsync({ type: 'nodebuffer', compression: 'STORE', platform: 'UNIX' })
}

function checkName(name: string): void {
  const parts = name.split('/')
  const bad = name === '' || name.length > 1024 || /[\\\0]/.test(name) || parts.some((part) => part === '' || part === '.' || part === '..')
  if (bad) throw new KeylimeError('archive_refused', `"${name}" cannot be the name of a file in a package`)
}
