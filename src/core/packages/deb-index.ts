import { entryPath } from '../archive/file-digests.ts'
import { KeylimeError } from '../errors.ts'
import { cutText } from '../verdict/bounded-text.ts'

/** Of a name, in a message. */
const MAX_NAME = 100

/** A package of a repository's index. */
export interface IndexedPackage extends IndexedFile {
  name: string
}

export interface IndexedFile {
  /** Relative to the repository. */
  path: string
  sha256: string
}

/** Packages of a Debian `Packages` file. @throws KeylimeError `invalid_request` for a stanza without a path or a SHA-256. */
export function parsePackages(text: string): IndexedPackage[] {
  return text.split(/\n[ \t]*\n/).flatMap((stanza, i) => {
    if (stanza.trim() === '') return []
    const field = (name: string) => new RegExp(`^${name}:[ \\t]*(.*)$`, 'mi').exec(stanza)?.[1]?.trim()
    const [path, sha256] = [field('Filename'), field('SHA256')?.toLowerCase()]
    if (!path || !sha256 || !/^[0-9a-f]{64}$/.test(sha256))
      throw new KeylimeError(
        'invalid_request',
        `Packages: stanza ${i + 1} (${cutText(field('Package') ?? 'without a name', MAX_NAME)}) has no Filename and SHA256`,
      )
    return [{ name: field('Package') ?? '', path: entryPath(path).slice(1), sha256 }]
  })
}

/** SHA-256 of the files that a Debian `Release` file lists. */
export function parseRelease(text: string): Map<string, string> {
  const [, section = ''] = /^SHA256:[ \t]*\n((?:[ \t].*(?:\n|$))*)/m.exec(text) ?? []
  return new Map(
    section.split('\n').flatMap((line) => {
      const [, digest, name] = /^\s*([0-9a-f]{64})\s+\d+\s+(\S+)\s*$/.exec(line) ?? []
      return digest && name ? [[name, digest] as const] : []
    }),
  )
}
