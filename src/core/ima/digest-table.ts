import type { ImaEntry } from './entry.ts'

/** Slots that a look-up visits at most, whatever names a policy or a log has. */
const MAX_PROBES = 64
const MAX_DIGESTS = 255
const MAX_NAME_BYTES = 0xffff
const { imul } = Math

/**
 * Accepted digests of names, as bytes in one piece of memory: half of what a Map of strings needs, and a look-up touches two places in memory where a Map touches
 * six, which is what large policies spend their time with. A name is found by its hash and compared byte by byte, so a collision accepts nothing.
 */
export class DigestTable {
  readonly size: number
  /** Pairs: hash of the name, and where its record begins, plus one; zero is free. Open addressing, half of it free. */
  readonly #slots: Int32Array
  readonly #mask: number
  /** Records: size of the name (2 bytes), name, number of digests (1), and of each its size (1) and its bytes. */
  #records: Buffer
  #end = 0
  /** What has no form as a record, and names that found no slot near their own. */
  readonly #others = new Map<string, readonly string[]>()

  /** @param lists digests of each name, in lower-case hex. */
  constructor(names: readonly string[], lists: readonly (readonly string[])[]) {
    const capacity = 2 ** Math.max(4, Math.ceil(Math.log2(2 * names.length)))
    this.#slots = new Int32Array(2 * capacity)
    this.#mask = capacity - 1
    this.#records = Buffer.allocUnsafeSlow(names.reduce((sum, name, i) => sum + 3 + name.length + digestBytes(lists[i]!), 0))
    for (let i = 0; i < names.length; i++) if (!this.#add(names[i]!, lists[i]!)) this.#others.set(names[i]!, lists[i]!)
    this.size = names.length
  }

  /** Whether the digest of an entry is one of its name, both as they stand in the template data. */
  accepts({ template, data, name, digest }: ImaEntry): boolean {
    if (template === 'ima') return this.get(name)?.includes(digest) ?? false
    const digestEnd = 4 + (data[0]! | (data[1]! << 8) | (data[2]! << 16) | (data[3]! << 24))
    const nameStart = digestEnd + 4
    const nameSize = (data[digestEnd]! | (data[digestEnd + 1]! << 8) | (data[digestEnd + 2]! << 16)) - 1
    const at = this.#find(data, nameStart, nameStart + nameSize)
    if (at < 0) return this.#others.size > 0 && (this.#others.get(name)?.includes(digest) ?? false)
    return this.#hasDigest(at, data, digestEnd - digest.length / 2, digestEnd)
  }

  /** Undefined for a name that is not listed. */
  get(name: string): readonly string[] | undefined {
    if (!name.isWellFormed()) return this.#others.get(name)
    const bytes = Buffer.from(name)
    const at = this.#find(bytes, 0, bytes.length)
    return at < 0 ? this.#others.get(name) : this.#digestsAt(at)
  }

  has(name: string): boolean {
    return this.get(name) !== undefined
  }

  *[Symbol.iterator](): Generator<[name: string, digests: readonly string[]]> {
    for (let at = 0; at < this.#end; ) {
      const start = at + 2
      const end = start + this.#records.readUInt16LE(at)
      yield [this.#records.toString('utf8', start, end), this.#digestsAt(end)]
      let count = this.#records[end]!
      for (at = end + 1; count > 0; count--) at += 1 + this.#records[at]!
    }
    yield* this.#others
  }

  /** False for what must go among the others. */
  #add(name: string, digests: readonly string[]): boolean {
    if (!name.isWellFormed() || digests.length > MAX_DIGESTS) return false
    const start = this.#end + 2
    let end = this.#writeName(name, start, 1 + digestBytes(digests))
    if (end - start > MAX_NAME_BYTES) return false
    const records = this.#records
    const hash = nameHash(records, start, end)
    const slot = this.#freeSlot(hash)
    if (slot < 0) return false
    records[this.#end] = end - start
    records[this.#end + 1] = (end - start) >> 8
    records[end++] = digests.length
    for (const digest of digests) {
      const size = writeHex(digest, records, end + 1)
      if (size < 0) return false
      records[end] = size
      end += 1 + size
    }
    this.#slots[slot] = hash
    this.#slots[slot + 1] = this.#end + 1
    this.#end = end
    return true
  }

  /** @param more room that is needed behind it. @returns its end. */
  #writeName(name: string, start: number, more: number): number {
    this.#makeRoom(start + name.length + more)
    for (let i = 0; i < name.length; i++) {
      const code = name.charCodeAt(i)
      if (code >= 0x80) {
        this.#makeRoom(start + Buffer.byteLength(name) + more)
        return start + this.#records.write(name, start, 'utf8')
      }
      this.#records[start + i] = code
    }
    return start + name.length
  }

  /** The room that was reckoned is for names in ASCII. */
  #makeRoom(size: number): void {
    if (size > this.#records.length) this.#records = Buffer.concat([this.#records], 2 * size)
  }

  #freeSlot(hash: number): number {
    for (let probe = 0; probe < MAX_PROBES; probe++) {
      const slot = 2 * ((hash + probe) & this.#mask)
      if (this.#slots[slot + 1] === 0) return slot
    }
    return -1
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
      if (isSame(records, digests - (end - start), bytes, start, end)) return digests
    }
    return -1
  }

  #hasDigest(at: number, bytes: Uint8Array, start: number, end: number): boolean {
    const records = this.#records
    let next = at + 1
    for (let count = records[at]!; count > 0; count--) {
      const size = records[next]!
      if (size === end - start && isSame(records, next + 1, bytes, start, end)) return true
      next += 1 + size
    }
    return false
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

function digestBytes(digests: readonly string[]): number {
  let sum = 0
  for (const digest of digests) sum += 1 + Math.ceil(digest.length / 2)
  return sum
}

function isSame(records: Uint8Array, at: number, bytes: Uint8Array, start: number, end: number): boolean {
  for (let i = start, j = at; i < end; i++, j++) if (records[j] !== bytes[i]) return false
  return true
}

/** @param hex lower-case digits. @returns the number of bytes; -1 for an odd number of digits. In this place half the cost of `Buffer.write`. */
function writeHex(hex: string, to: Uint8Array, at: number): number {
  if (hex.length % 2 !== 0) return -1
  for (let i = 0; i < hex.length; i += 2) to[at + i / 2] = (digitOf(hex.charCodeAt(i)) << 4) | digitOf(hex.charCodeAt(i + 1))
  return hex.length / 2
}

const digitOf = (code: number): number => (code > 57 ? code - 87 : code - 48)

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
