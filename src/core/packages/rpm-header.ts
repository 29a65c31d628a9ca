import { createHash } from 'node:crypto'
import { type ByteStream, refused } from '../archive/byte-stream.ts'

const LEAD = 96
const LEAD_MAGIC = 0xedabeedb
const [LEAD_TYPE, SOURCE] = [6, 1]
const HEADER_MAGIC = 0x8eade801
const MAX_ENTRIES = 65_536
const MAX_DATA = 64 << 20
const MAX_FILES = 2_000_000

const SIG_SHA256 = 273
/** Signatures of the header: RSA, and the other kinds. Those of header and content together are no matter here. */
const SIG_HEADER = [268, 267]
const TAG = {
  name: 1000,
  modes: 1030,
  digests: 1035,
  sourcePackage: 1106,
  dirIndexes: 1116,
  baseNames: 1117,
  dirNames: 1118,
  digestAlgorithm: 5011,
} as const
const TYPE = { int16: 3, int32: 4, string: 6, bytes: 7, texts: 8 } as const
const ALGORITHMS: Record<number, string> = { 1: 'md5', 2: 'sha1', 8: 'sha256', 9: 'sha384', 10: 'sha512', 11: 'sha224' }
const [FILE_TYPE, REGULAR] = [0o170000, 0o100000]

/** The name of a number of OpenPGP, which RPM uses. */
export const algorithmOfRpm = (id: number): string => ALGORITHMS[id] ?? 'unknown'

export const isRegular = (mode: number): boolean => (mode & FILE_TYPE) === REGULAR

export interface RpmFiles {
  name: string
  /** Of the files' digests; `md5` for packages of old. */
  algorithm: string
  /** Of regular files, by path. */
  digests: Map<string, string>
  /** A source package: its files are no paths, and nothing of it is installed. */
  isSource?: boolean
}

export interface RpmPackage extends RpmFiles {
  /** What the packager signed, with his OpenPGP signature; null when he did not. */
  header: Buffer
  signature: Buffer | null
}

/**
 * The files of an RPM package by its headers, with the digests that the packager recorded; the content is not read. The header must have the SHA-256 that the
 * signature header says, when it says one. @throws KeylimeError `archive_refused`.
 */
export async function readRpmFiles(stream: ByteStream): Promise<RpmPackage> {
  const lead = Buffer.from(await stream.take(LEAD))
  if (lead.readUInt32BE(0) !== LEAD_MAGIC) throw refused('is not an RPM package')
  const signature = await readHeader(stream)
  await stream.skip((8 - (signature.bytes.length % 8)) % 8)
  const header = await readHeader(stream)
  const [expected] = signature.texts(SIG_SHA256)
  if (expected !== undefined && createHash('sha256').update(header.bytes).digest('hex') !== expected)
    throw refused('is damaged: its header does not have the SHA-256 that it says')
  const [baseNames, dirNames, digests] = [header.texts(TAG.baseNames), header.texts(TAG.dirNames), header.texts(TAG.digests)]
  const [dirIndexes, modes] = [header.numbers(TAG.dirIndexes), header.numbers(TAG.modes)]
  if (digests.length > 0 && [baseNames, dirIndexes, modes].some((list) => list.length !== digests.length))
    throw refused('has damaged lists of files')
  const files = new Map<string, string>()
  for (const [i, digest] of digests.entries()) {
    const directory = dirNames[dirIndexes[i]!]
    if (directory === undefined) throw refused('has a file without a directory')
    if (isRegular(modes[i]!) && !/^0*$/.test(digest)) files.set(`${directory}${baseNames[i]}`, digest.toLowerCase())
  }
  const algorithm = algorithmOfRpm(header.numbers(TAG.digestAlgorithm)[0] ?? 1)
  const signed = SIG_HEADER.map((tag) => signature.content(tag)).find((bytes) => bytes !== null) ?? null
  const isSource = lead.readUInt16BE(LEAD_TYPE) === SOURCE || header.has(TAG.sourcePackage)
  return { name: header.texts(TAG.name)[0] ?? '', algorithm, digests: files, isSource, header: header.bytes, signature: signed }
}

class Header {
  readonly bytes: Buffer
  readonly #index: Map<number, { type: number; offset: number; count: number }>
  readonly #data: Buffer

  constructor(bytes: Buffer, entries: number) {
    this.bytes = bytes
    this.#data = bytes.subarray(16 + 16 * entries)
    this.#index = new Map(
      Array.from({ length: entries }, (_, i) => {
        const at = 16 + 16 * i
        return [
          bytes.readUInt32BE(at),
          { type: bytes.readUInt32BE(at + 4), offset: bytes.readUInt32BE(at + 8), count: bytes.readUInt32BE(at + 12) },
        ]
      }),
    )
  }

  has(tag: number): boolean {
    return this.#index.has(tag)
  }

  /** A tag with one text or several. */
  texts(tag: number): string[] {
    const entry = this.#index.get(tag)
    if (!entry) return []
    if (entry.count > MAX_FILES) throw refused(`has a list of ${entry.count} items`)
    const texts: string[] = []
    let at = entry.offset
    for (let i = 0; i < (entry.type === TYPE.string ? 1 : entry.count); i++) {
      const end = this.#data.indexOf(0, at)
      if (end < 0 || at > this.#data.length || (entry.type !== TYPE.string && entry.type !== TYPE.texts))
        throw refused('has a damaged header')
      texts.push(this.#data.toString('utf8', at, end))
      at = end + 1
    }
    return texts
  }

  content(tag: number): Buffer | null {
    const entry = this.#index.get(tag)
    if (!entry) return null
    if (entry.type !== TYPE.bytes || entry.offset + entry.count > this.#data.length) throw refused('has a damaged header')
    return Buffer.from(this.#data.subarray(entry.offset, entry.offset + entry.count))
  }

  numbers(tag: number): number[] {
    const entry = this.#index.get(tag)
    if (!entry) return []
    const size = entry.type === TYPE.int16 ? 2 : entry.type === TYPE.int32 ? 4 : 0
    if (size === 0 || entry.count > MAX_FILES || entry.offset + size * entry.count > this.#data.length)
      throw refused('has a damaged header')
    return Array.from({ length: entry.count }, (_, i) => this.#data.readUIntBE(entry.offset + size * i, size))
  }
}

async function readHeader(stream: ByteStream): Promise<Header> {
  const intro = Buffer.from(await stream.peek(16))
  if (intro.length < 16 || intro.readUInt32BE(0) !== HEADER_MAGIC) throw refused('is not an RPM package, or is damaged')
  const [entries, size] = [intro.readUInt32BE(8), intro.readUInt32BE(12)]
  if (entries > MAX_ENTRIES || size > MAX_DATA) throw refused(`has a header of ${entries} entries and ${size} bytes`)
  return new Header(Buffer.from(await stream.take(16 + 16 * entries + size)), entries)
}
