import { decodeBytes, encodeBytes } from '../text/byte-text.ts'
import { nameHash } from './digest-table.ts'

/** Bytes of a page of records. An address is page and offset, plus one; zero is none. */
const PAGE = 1 << 20
const HEAD = 7
const MAX_NAME_BYTES = 0xffff
const HEX = /^(?:[0-9a-f]{2})+$/

/**
 * Digests of names while a policy is made: each listed once. Kept as bytes, about a hundred a name, so that a list of a million names needs no gigabyte; names are
 * read from texts that are longer and are let go of.
 *
 * A record is address of the next digest of the name (4 bytes), size of the name (2), size of the digest (1), name, digest. Behind the first of a name there are
 * records without a name.
 */
export class DigestSets {
  readonly #pages: Buffer[] = []
  #used = PAGE
  /** Pairs: hash of the name, address of its record. Open addressing, half of it free. */
  #slots = new Int32Array(2 * 1024)
  #records = 0
  /** Names in records that still have digests. */
  #alive = 0
  /** What has no form as a record: digests of an odd number of digits, names that are very long. */
  readonly #others = new Map<string, Set<string>>()

  get size(): number {
    let both = 0
    for (const name of this.#others.keys()) if (this.#headOf(name) > 0) both++
    return this.#alive + this.#others.size - both
  }

  /** @param digest lower-case hexadecimal digits. */
  add(name: string, digest: string): void {
    const bytes = encodeBytes(name)
    if (bytes.length > MAX_NAME_BYTES || digest.length > 510 || !HEX.test(digest)) {
      this.#others.set(name, (this.#others.get(name) ?? new Set()).add(digest))
      return
    }
    const { slot, head } = this.#find(bytes)
    if (head === 0) {
      this.#insert(slot, bytes, digest)
      return
    }
    if (!this.#isAlive(head)) this.#alive++
    let last = head
    for (let at = head; at > 0; at = this.#nextOf(at)) {
      if (this.#digestOf(at) === digest) return
      last = at
    }
    this.#link(last, this.#write(Buffer.alloc(0), digest))
  }

  /** Undefined for a name without digests. */
  get(name: string): string[] | undefined {
    const digests = [...this.#digestsFrom(this.#headOf(name)), ...(this.#others.get(name) ?? [])]
    return digests.length > 0 ? digests : undefined
  }

  delete(name: string): void {
    this.#others.delete(name)
    const head = this.#headOf(name)
    if (head === 0) return
    const { page, offset } = placeOf(head)
    this.#pages[page]![offset + 6] = 0
    this.#link(head, 0)
    this.#alive--
  }

  *keys(): Generator<string> {
    for (const [name] of this) yield name
  }

  /** In no order. */
  *[Symbol.iterator](): Generator<[name: string, digests: string[]]> {
    for (const head of this.#heads()) yield this.#entryOf(head)
    for (const [name, digests] of this.#others) if (this.#headOf(name) === 0) yield [name, [...digests]]
  }

  /** By name, in the order of its bytes; digests in order too. */
  *inOrder(): Generator<[name: string, digests: string[]]> {
    const heads = Int32Array.from(this.#heads()).sort((a, b) => this.#compareNames(a, b))
    const others = [...this.#others].filter(([name]) => this.#headOf(name) === 0).map(([name, set]): [string, string[]] => [name, [...set]])
    others.sort(([a], [b]) => Buffer.compare(encodeBytes(a), encodeBytes(b)))
    for (const head of heads) {
      const bytes = this.#nameOf(head)
      while (others[0] && Buffer.compare(encodeBytes(others[0][0]), bytes) < 0) yield sortedEntry(others.shift()!)
      yield sortedEntry(this.#entryOf(head))
    }
    for (const entry of others) yield sortedEntry(entry)
  }

  #entryOf(head: number): [string, string[]] {
    const name = decodeBytes(this.#nameOf(head))
    return [name, [...this.#digestsFrom(head), ...(this.#others.get(name) ?? [])]]
  }

  *#heads(): Generator<number> {
    for (let slot = 1; slot < this.#slots.length; slot += 2) {
      const head = this.#slots[slot]!
      if (head > 0 && this.#isAlive(head)) yield head
    }
  }

  /** Address of the record of a name that has digests; 0 without one. */
  #headOf(name: string): number {
    const { head } = this.#find(encodeBytes(name))
    return head > 0 && this.#isAlive(head) ? head : 0
  }

  #find(name: Buffer): { slot: number; head: number } {
    const hash = nameHash(name, 0, name.length)
    const mask = this.#slots.length / 2 - 1
    for (let probe = 0; ; probe++) {
      const slot = 2 * ((hash + probe) & mask)
      const head = this.#slots[slot + 1]!
      if (head === 0 || (this.#slots[slot] === hash && this.#nameOf(head).equals(name))) return { slot, head }
    }
  }

  #insert(slot: number, name: Buffer, digest: string): void {
    this.#slots[slot] = nameHash(name, 0, name.length)
    this.#slots[slot + 1] = this.#write(name, digest)
    this.#alive++
    if (4 * ++this.#records > this.#slots.length) this.#grow()
  }

  #grow(): void {
    const old = this.#slots
    const slots = new Int32Array(2 * old.length)
    const mask = slots.length / 2 - 1
    for (let from = 0; from < old.length; from += 2) {
      if (old[from + 1] === 0) continue
      let to = 2 * (old[from]! & mask)
      while (slots[to + 1] !== 0) to = (to + 2) % slots.length
      slots[to] = old[from]!
      slots[to + 1] = old[from + 1]!
    }
    this.#slots = slots
  }

  #write(name: Buffer, digest: string): number {
    const size = HEAD + name.length + digest.length / 2
    if (this.#used + size > PAGE) {
      this.#pages.push(Buffer.alloc(PAGE))
      this.#used = 0
    }
    const page = this.#pages.at(-1)!
    const at = this.#used
    page.writeUInt16LE(name.length, at + 4)
    page[at + 6] = digest.length / 2
    name.copy(page, at + HEAD)
    page.write(digest, at + HEAD + name.length, 'hex')
    this.#used += size
    return (this.#pages.length - 1) * PAGE + at + 1
  }

  #link(record: number, next: number): void {
    const { page, offset } = placeOf(record)
    this.#pages[page]!.writeUInt32LE(next, offset)
  }

  #nextOf(record: number): number {
    const { page, offset } = placeOf(record)
    return this.#pages[page]!.readUInt32LE(offset)
  }

  #isAlive(head: number): boolean {
    const { page, offset } = placeOf(head)
    return this.#pages[page]![offset + 6]! > 0 || this.#nextOf(head) > 0
  }

  #nameOf(record: number): Buffer {
    const { page, offset } = placeOf(record)
    const bytes = this.#pages[page]!
    return bytes.subarray(offset + HEAD, offset + HEAD + bytes.readUInt16LE(offset + 4))
  }

  #digestOf(record: number): string {
    const { page, offset } = placeOf(record)
    const bytes = this.#pages[page]!
    const start = offset + HEAD + bytes.readUInt16LE(offset + 4)
    return bytes.toString('hex', start, start + bytes[offset + 6]!)
  }

  *#digestsFrom(head: number): Generator<string> {
    for (let at = head; at > 0; at = this.#nextOf(at)) {
      const digest = this.#digestOf(at)
      if (digest !== '') yield digest
    }
  }

  #compareNames(a: number, b: number): number {
    const [one, other] = [placeOf(a), placeOf(b)]
    const [x, y] = [this.#pages[one.page]!, this.#pages[other.page]!]
    const [from, start] = [one.offset + HEAD, other.offset + HEAD]
    return x.compare(y, start, start + y.readUInt16LE(other.offset + 4), from, from + x.readUInt16LE(one.offset + 4))
  }
}

const placeOf = (address: number) => ({ page: Math.floor((address - 1) / PAGE), offset: (address - 1) % PAGE })

const sortedEntry = ([name, digests]: [string, string[]]): [string, string[]] => [name, digests.sort()]
