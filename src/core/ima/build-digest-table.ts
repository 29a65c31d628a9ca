import { DigestTable, MAX_PROBES, nameHash } from './digest-table.ts'

const MAX_DIGESTS = 255
const MAX_NAME_BYTES = 0xffff

/** @param lists digests of each name, in lower-case hex. */
export function buildDigestTable(names: readonly string[], lists: readonly (readonly string[])[]): DigestTable {
  const parts = new Parts(names, lists)
  const others: [string, readonly string[]][] = []
  for (let i = 0; i < names.length; i++) if (!parts.add(names[i]!, lists[i]!)) others.push([names[i]!, lists[i]!])
  const { slots, records } = parts.done()
  return new DigestTable({ size: names.length, slots, records, others: others.length > 0 ? sharedText(JSON.stringify(others)) : null })
}

/** A text in UTF-8 in memory that threads share. */
export const sharedText = (text: string): SharedArrayBuffer => sharedBytes(Buffer.from(text))

export function sharedBytes(bytes: Uint8Array): SharedArrayBuffer {
  const shared = new SharedArrayBuffer(bytes.length)
  new Uint8Array(shared).set(bytes)
  return shared
}

class Parts {
  readonly #memory: SharedArrayBuffer
  readonly #slots: Int32Array
  readonly #mask: number
  #records: Buffer
  #end = 0

  constructor(names: readonly string[], lists: readonly (readonly string[])[]) {
    const capacity = 2 ** Math.max(4, Math.ceil(Math.log2(2 * names.length)))
    this.#memory = new SharedArrayBuffer(8 * capacity)
    this.#slots = new Int32Array(this.#memory)
    this.#mask = capacity - 1
    this.#records = Buffer.allocUnsafeSlow(names.reduce((sum, name, i) => sum + 3 + name.length + digestBytes(lists[i]!), 0))
  }

  done(): { slots: SharedArrayBuffer; records: SharedArrayBuffer } {
    return { slots: this.#memory, records: sharedBytes(this.#records.subarray(0, this.#end)) }
  }

  /** False for what must go among the others. */
  add(name: string, digests: readonly string[]): boolean {
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
}

function digestBytes(digests: readonly string[]): number {
  let sum = 0
  for (const digest of digests) sum += 1 + Math.ceil(digest.length / 2)
  return sum
}

/** @param hex lower-case digits. @returns the number of bytes; -1 for an odd number of digits. In this place half the cost of `Buffer.write`. */
function writeHex(hex: string, to: Uint8Array, at: number): number {
  if (hex.length % 2 !== 0) return -1
  for (let i = 0; i < hex.length; i += 2) to[at + i / 2] = (digitOf(hex.charCodeAt(i)) << 4) | digitOf(hex.charCodeAt(i + 1))
  return hex.length / 2
}

const digitOf = (code: number): number => (code > 57 ? code - 87 : code - 48)
