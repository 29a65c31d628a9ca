import fs from 'node:fs'
import { decodeBytes } from '../../core/text/byte-text.ts'

const CHUNK = 256 << 10
/** A checkpoint each so many lines: 8 bytes for 256 lines. */
const STRIDE = 256
const NEWLINE = 0x0a

export interface ImaList {
  /** Whole lines, each with its `\n`; bytes that are not UTF-8 as `decodeBytes` has them. */
  text: string
  /** Number of the first line in `text`, from 0. */
  entry: number
}

/**
 * The kernel's measurement list, read in parts: where lines begin is remembered, so that an attestation reads what is new and not the whole list, which
 * has hundreds of thousands of lines. A list that was replaced or became shorter (only in tests: the kernel's only grows) is read anew.
 */
export class ImaLog {
  readonly #path: string
  #fd: number | null = null
  #inode = 0n
  /** Byte offset of line 0, 256, 512, … */
  #checkpoints: number[] = [0]
  #lines = 0
  /** Offset behind the last whole line. */
  #end = 0

  constructor(path: string) {
    this.#path = path
  }

  /**
   * Lines from `from` to the end; all lines, with entry 0, when there are fewer (policies A.7). null when there is no list.
   * @throws the system's error when the list cannot be read.
   */
  read(from: number): ImaList | null {
    if (!this.open()) return null
    if (from > this.#lines) this.#scan(this.#lines, Number.POSITIVE_INFINITY)
    const entry = from > this.#lines ? 0 : from
    return { text: this.#scan(entry, entry), entry }
  }

  /** How many whole lines the list has now; none when there is no list. @throws the system's error when it cannot be read. */
  count(): number {
    if (!this.open()) return 0
    this.#scan(this.#lines, Number.POSITIVE_INFINITY)
    return this.#lines
  }

  /** Opens the list when it is there; the kernel's may only be opened by root, so this comes before privileges are given up. */
  open(): boolean {
    const stat = this.#stat()
    if (stat === 'hidden') return this.#fd !== null
    if (!stat) {
      this.close()
      return false
    }
    const shrunk = stat.size > 0n && stat.size < BigInt(this.#end) // the kernel's pseudo file has size 0
    if (this.#fd !== null && stat.ino === this.#inode && !shrunk) return true
    this.close()
    this.#fd = fs.openSync(this.#path, 'r')
    this.#inode = stat.ino
    this.#checkpoints = [0]
    this.#lines = 0
    this.#end = 0
    return true
  }

  #stat(): fs.BigIntStats | undefined | 'hidden' {
    try {
      return fs.statSync(this.#path, { bigint: true, throwIfNoEntry: false })
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'EACCES') return 'hidden'
      throw error
    }
  }

  close(): void {
    if (this.#fd !== null) fs.closeSync(this.#fd)
    this.#fd = null
  }

  /** Reads from line `start` on to the end, learns where lines begin, and gives the text from line `keepFrom` on. */
  #scan(start: number, keepFrom: number): string {
    const checkpoint = Math.floor(start / STRIDE)
    const fromEnd = start === this.#lines
    let line = fromEnd ? this.#lines : checkpoint * STRIDE
    let offset = fromEnd ? this.#end : this.#checkpoints[checkpoint]!
    const kept: Buffer[] = []
    let rest: Buffer = Buffer.alloc(0)
    for (;;) {
      const chunk = Buffer.allocUnsafe(CHUNK)
      const count = fs.readSync(this.#fd!, chunk, 0, CHUNK, offset + rest.length)
      if (count === 0) break
      const bytes = rest.length > 0 ? Buffer.concat([rest, chunk.subarray(0, count)]) : chunk.subarray(0, count)
      let begin = 0
      let keep = line >= keepFrom ? 0 : -1
      for (let at = bytes.indexOf(NEWLINE); at >= 0; at = bytes.indexOf(NEWLINE, begin)) {
        begin = at + 1
        line++
        this.#learn(line, offset + begin)
        if (keep < 0 && line >= keepFrom) keep = begin
      }
      if (keep >= 0 && begin > keep) kept.push(bytes.subarray(keep, begin))
      rest = bytes.subarray(begin)
      offset += begin
    }
    return decodeBytes(Buffer.concat(kept))
  }

  #learn(line: number, offset: number): void {
    if (line <= this.#lines) return
    this.#lines = line
    this.#end = offset
    if (line % STRIDE === 0) this.#checkpoints.push(offset)
  }
}
