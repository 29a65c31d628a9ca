import type { ImaEntry } from './entry.ts'

/** Slots that a look-up visits at most, whatever names a policy or a log has. */
export const MAX_PROBES = 64
/** A record gives two bytes to the size of its name. */
const MAX_RECORDED_NAME = 0xffff
const { imul } = Math

/** A table in the form that threads share: nothing in it is ever changed. */
export interface PackedDigests {
  size: number
  /** Pairs: hash of the name, and where its record begins, plus one; zero is free. Open addressing, half of it free. */
  slots: SharedArrayBuffer
  /** Records: size of the name (2 bytes), name, number of digests (1), and of each its size (1) and its bytes. */
  records: SharedArrayBuffer
  /** What has no form as a record, and names that found no slot near their own: JSON text in UTF-8 of names and digests; null for none. */
  others: SharedArrayBuffer | null
}

/**
 * Accepted digests of names, as bytes in one piece of memory: half of what a Map of strings needs, and a look-up touches two places in memory where a Map touches
 * six, which is what large policies spend their time with. A name is found by its hash and compared byte by byte, so a collision accepts nothing.
 */
export class DigestTable {
  readonly size: number
  readonly packed: PackedDigests
  readonly #slots: Int32Array
  readonly #mask: number
  readonly #records: Buffer
  #others: ReadonlyMap<string, readonly string[]> | null = null

  constructor(packed: PackedDigests) {
    this.packed = packed
    this.size = packed.size
    this.#slots = new Int32Array(packed.slots)
    this.#mask = this.#slots.length / 2 - 1
    this.#records = Buffer.from(packed.records)
  }

  /** Whether the digest of an entry is one of its name, both as they stand in the template data. */
  accepts({ template, data, name, digest }: ImaEntry): boolean {
    if (template === 'ima') return this.get(name)?.includes(digest) ?? false
    const digestEnd = 4 + (data[0]! | (data[1]! << 8) | (data[2]! << 16) | (data[3]! << 24))
    const nameStart = digestEnd + 4
    const nameSize = (data[digestEnd]! | (data[digestEnd + 1]! << 8) | (data[digestEnd + 2]! << 16)) - 1
    const at = this.#find(data, nameStart, nameStart + nameSize)
    if (at < 0) return this.#other(name)?.includes(digest) ?? false
    return this.#hasDigest(at, data, digestEnd - digest.length / 2, digestEnd)
  }

  /** Undefined for a name that is not listed. */
  get(name: string): readonly string[] | undefined {
    if (name.length > MAX_RECORDED_NAME || !name.isWellFormed()) return this.#other(name)
    const bytes = Buffer.from(name)
    const at = this.#find(bytes, 0, bytes.length)
    return at < 0 ? this.#other(name) : this.#digestsAt(at)
  }

  has(name: string): boolean {
    return this.get(name) !== undefined
  }

  *[Symbol.iterator](): Generator<[name: string, digests: readonly string[]]> {
    for (let at = 0; at < this.#records.length; ) {
      const start = at + 2
      const end = start + this.#records.readUInt16LE(at)
      yield [this.#records.toString('utf8', start, end), this.#digestsAt(end)]
      let count = this.#records[end]!
      for (at = end + 1; count > 0; count--) at += 1 + this.#records[at]!
    }
    yield* this.#readOthers()
  }

  #other(name: string): readonly string[] | undefined {
    return this.packed.others ? this.#readOthers().get(name) : undefined
  }

  #readOthers(): ReadonlyMap<string, readonly string[]> {
    const { others } = this.packed
    this.#others ??= new Map(others ? (JSON.parse(Buffer.from(others).toString('utf8')) as [string, string[]][]) : [])
    return this.#others
  }

  /** Where the digests of a name are that stands in `bytes`; -1 without a record. */
  #find(bytes: Uint8Array, start: number, end: number): number {
    const [slots, records, hash] = [this.#slots, this.#records, nameHash(bytes, start, end)]
    for (let probe = 0; probe < MAX_PROBES; probe++) {
      const slot = 2 * ((hash + probe) & this.#mask)
      const record = slots[slot + 1]!
      if (record === 0) return -1
      if (slots[slot] !== hash || (records[record - 1]! | (records[record]! << 8)) !== end - start) continue
      const digests = record + 1 + end - start
      if (this.#isAt(digests - (end - start), bytes, start, end)) return digests
    }
    return -1
  }

  #hasDigest(at: number, bytes: Uint8Array, start: number, end: number): boolean {
    const records = this.#records
    let next = at + 1
    for (let count = records[at]!; count > 0; count--) {
      const size = records[next]!
      if (size === end - start && this.#isAt(next + 1, bytes, start, end)) return true
      next += 1 + size
    }
    return false
  }

  #isAt(at: number, bytes: Uint8Array, start: number, end: number): boolean {
    const records = this.#records
    for (let i = start, j = at; i < end; i++, j++) if (records[j] !== bytes[i]) return false
    return true
  }

  #digestsAt(at: number): string[] {
    const digests: string[] = []
    let next = at + 1
    for (let count = this.#records[at]!; count > 0; count--) {
      const size = this.#records[next]!
      digests.push(this.#records.toString('hex', next + 1, next + 1 + size))
      next += 1 + size
    }
    return digests
  }
}

/** Four bytes at a time, then mixed so that names which differ at one place do not lie beside each other. */
export function nameHash(bytes: Uint8Array, start: number, end: number): number {
  let hash = end - start
  let at = start
  for (; at + 4 <= end; at += 4) {
    hash = imul(hash ^ (bytes[at]! | (bytes[at + 1]! << 8) | (bytes[at + 2]! << 16) | (bytes[at + 3]! << 24)), 0x9e3779b1)
    hash ^= hash >>> 15
  }
  for (; at < end; at++) hash = imul(hash ^ bytes[at]!, 0x9e3779b1)
  hash = imul(hash ^ (hash >>> 13), 0x85ebca6b)
  return hash ^ (hash >>> 16)
}
