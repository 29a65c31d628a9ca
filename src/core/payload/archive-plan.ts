import { KeylimeError } from '../errors.ts'
import { printableJson } from '../printable.ts'
import { cutText } from '../verdict/bounded-text.ts'

/** One entry of a zip's central directory, as it stands there. */
export interface ArchiveEntry {
  /** The bytes of the name. */
  name: Buffer
  compressedSize: number
  uncompressedSize: number
  compressionMethod: number
  generalPurposeFlags: number
  versionMadeBy: number
  externalAttributes: number
}

export interface ArchiveLimits {
  /** Entries of the archive; and directories, named or only parts of names. */
  maxEntries: number
  maxTotalBytes: number
  /** Uncompressed to compressed, of the whole archive; small archives may be denser. */
  maxRatio: number
}

export interface PlannedFile {
  /** Index in the list of entries. */
  index: number
  /** Relative path with `/`. */
  name: string
  size: number
  /** 0700 when the owner may execute it, else 0600. */
  mode: 0o600 | 0o700
}

export interface ArchivePlan {
  /** Relative paths, parents first. */
  directories: string[]
  /** In the archive's order; of several with one name only the last. */
  files: PlannedFile[]
  totalBytes: number
}

export const DEFAULT_ARCHIVE_LIMITS: ArchiveLimits = { maxEntries: 4096, maxTotalBytes: 64 << 20, maxRatio: 200 }

/** Below this, a high ratio is only a file of blanks. */
const RATIO_FREE_BYTES = 1 << 20
const MAX_NAME = 1024
const MAX_SEGMENT = 255
const MAX_DEPTH = 32
/** Characters of a name in a message: an operator reads it, and whoever made the archive chose it. */
const MAX_SHOWN = 100
const ENCRYPTED = 0x2041 // traditional, strong, and hidden headers
const MADE_ON_UNIX = 3
const UNIX_TYPE = { none: 0, directory: 4, file: 8 }
const METHODS = [0, 8]

/**
 * Decides what to write for an archive, before anything is written. Refuses, as a whole, an archive with one entry that could leave the directory or be
 * anything but a plain file or a directory, that is encrypted, or that is too much.
 * @throws KeylimeError `archive_refused` naming the entry and the reason.
 */
export function planArchive(entries: readonly ArchiveEntry[], limits: ArchiveLimits): ArchivePlan {
  if (entries.length > limits.maxEntries) throw refused(`it has ${entries.length} entries, at most ${limits.maxEntries} are unpacked`)
  const files = new Map<string, PlannedFile>()
  const directories = new Set<string>()
  let compressed = 0
  let totalBytes = 0
  for (const [index, entry] of entries.entries()) {
    const { name, isDirectory } = readName(entry)
    checkKind(entry, name, isDirectory)
    if (directories.size > limits.maxEntries) throw refused(`it has over ${limits.maxEntries} directories`)
    compressed += entry.compressedSize
    totalBytes += entry.uncompressedSize // of hidden duplicates too: they are part of what the sender made us carry
    for (const parent of parentsOf(name)) directories.add(parent)
    if (isDirectory) directories.add(name)
    else files.set(name, { index, name, size: entry.uncompressedSize, mode: isExecutable(entry) ? 0o700 : 0o600 })
  }
  const clash = [...files.keys()].find((name) => directories.has(name))
  if (clash !== undefined) throw refused(`${shownName(clash)} is a file and a directory`)
  if (totalBytes > limits.maxTotalBytes)
    throw refused(`unpacked it has ${totalBytes} bytes, at most ${limits.maxTotalBytes} are allowed`, 'raise secure_size, or send less')
  if (totalBytes > RATIO_FREE_BYTES && totalBytes > compressed * limits.maxRatio)
    throw refused(`it grows ${Math.round(totalBytes / Math.max(1, compressed))}-fold, at most ${limits.maxRatio}-fold is allowed`)
  return { directories: [...directories].sort(), files: [...files.values()].sort((a, b) => a.index - b.index), totalBytes }
}

/** A zip begins with a local file header or, when empty, with the end of the central directory. */
export const looksLikeZip = (bytes: Uint8Array): boolean =>
  ['504b0304', '504b0506'].includes(Buffer.from(bytes.subarray(0, 4)).toString('hex'))

/** A name as a message has it: quoted, cut, and without what could leave its line. */
export const shownName = (name: string): string => printableJson(JSON.stringify(cutText(name, MAX_SHOWN)))

function readName(entry: ArchiveEntry): { name: string; isDirectory: boolean } {
  let text: string
  try {
    text = new TextDecoder('utf-8', { fatal: true }).decode(entry.name)
  } catch {
    throw refused(`the name ${cutText(entry.name.toString('hex'), MAX_SHOWN)} (hex) is not UTF-8`)
  }
  const shown = shownName(text)
  if (/[\0-\x1f\x7f\\]/.test(text)) throw refused(`the name ${shown} has a backslash or a control character`)
  if (text.startsWith('/') || /^[A-Za-z]:/.test(text)) throw refused(`the name ${shown} is absolute`)
  const isDirectory = text.endsWith('/')
  const name = isDirectory ? text.slice(0, -1) : text
  const segments = name.split('/')
  if (segments.some((segment) => segment === '..' || segment === '.' || segment === ''))
    throw refused(`the name ${shown} has an empty part, "." or ".."`)
  const tooLong = entry.name.length > MAX_NAME || segments.some((segment) => Buffer.byteLength(segment) > MAX_SEGMENT)
  if (tooLong || segments.length > MAX_DEPTH) throw refused(`the name ${shown} is too long or too deep`)
  return { name, isDirectory }
}

function checkKind(entry: ArchiveEntry, name: string, isDirectory: boolean): void {
  if (entry.generalPurposeFlags & ENCRYPTED) throw refused(`${shownName(name)} is encrypted`)
  if (!METHODS.includes(entry.compressionMethod)) throw refused(`${shownName(name)} is compressed with method ${entry.compressionMethod}`)
  const type = unixMode(entry) >> 12
  const expected = isDirectory ? UNIX_TYPE.directory : UNIX_TYPE.file
  if (type !== UNIX_TYPE.none && type !== expected)
    throw refused(`${shownName(name)} is ${kindOf(type)}: only files and directories are unpacked`)
}

/** Zero for entries that were not made on Unix; but a type that is set is believed, whoever claims to have made it. */
const unixMode = (entry: ArchiveEntry): number => {
  const mode = entry.externalAttributes >>> 16
  return entry.versionMadeBy >> 8 === MADE_ON_UNIX || mode >> 12 !== 0 ? mode : 0
}

const isExecutable = (entry: ArchiveEntry): boolean => (unixMode(entry) & 0o100) !== 0

function kindOf(type: number): string {
  const kinds: Record<number, string> = {
    1: 'a pipe',
    2: 'a device',
    4: 'a directory',
    6: 'a device',
    8: 'a file',
    10: 'a link',
    12: 'a socket',
  }
  return kinds[type] ?? `of the unknown type ${type}`
}

function parentsOf(name: string): string[] {
  const segments = name.split('/').slice(0, -1)
  return segments.map((_segment, i) => segments.slice(0, i + 1).join('/'))
}

const refused = (reason: string, hint?: string) =>
  new KeylimeError('archive_refused', `the archive is refused: ${reason}`, hint ? { hint } : {})
