import { encodeBytes } from '../text/byte-text.ts'

/** Views of short data are kept: nearly all entries of a log have one of some hundred lengths. */
const KEPT_VIEWS = 1024
const LEGACY_NAME_SIZE = 256
const HEX_DIGITS = /^[0-9a-fA-F]*$/
/** Where a text has one byte a character, as nearly all lines, the engine knows without a look that there is none. */
const BEYOND_LATIN = /[\u0100-\uffff]/

/**
 * Template data of one entry after another (policies A.3) in one buffer that is used again, so that a log of 100,000 entries leaves no garbage behind.
 * All integers are little-endian.
 */
export class TemplateData {
  #buffer = Buffer.alloc(0)
  #size = 0
  #views: (Buffer | undefined)[] = []
  /** What stands behind the first length: it is the same in nearly all entries of a log. */
  #prefix = ''
  /** No character of the line is beyond the first 256: none can be half of a pair, and each has one byte in memory. */
  isLatin = true

  /** The data written so far: the same memory for every entry, worthless after the next `begin`. */
  get bytes(): Buffer {
    const size = this.#size
    if (size >= KEPT_VIEWS) return this.#buffer.subarray(0, size)
    this.#views[size] ??= this.#buffer.subarray(0, size)
    return this.#views[size]
  }

  /** Forgets the last entry. No field needs more than thrice as many bytes as its line has characters. */
  begin(line: string): void {
    this.#size = 0
    this.isLatin = !BEYOND_LATIN.test(line)
    const room = 3 * line.length + LEGACY_NAME_SIZE + 64
    if (this.#buffer.length >= room) return
    this.#buffer = Buffer.allocUnsafeSlow(Math.max(room, 4096))
    this.#views = []
    this.#prefix = ''
  }

  /** `d-ng`: `alg:` or `type:alg:`, a NUL and the digest. Must be the first field. False when `hex` is not hexadecimal. */
  digest(prefix: string, hex: string): boolean {
    const start = 5 + prefix.length
    if (prefix !== this.#prefix) {
      this.#buffer.write(`${prefix}\0`, 4, 'latin1')
      this.#prefix = prefix
    }
    if (hex === '' || !this.#writeHex(hex, start)) return false
    this.#size = start + hex.length / 2
    this.#length(0, this.#size - 4)
    return true
  }

  /** `n-ng`: the name and a NUL. */
  name(text: string): void {
    const at = this.#size + 4
    const end = at + (this.isLatin || text.isWellFormed() ? this.#buffer.write(text, at, 'utf8') : encodeBytes(text).copy(this.#buffer, at))
    this.#buffer[end] = 0
    this.#length(this.#size, end + 1 - at)
    this.#size = end + 1
  }

  /** `sig`, `buf` and the like. @returns a view of the bytes, null when `hex` is not hexadecimal. */
  field(hex: string): Buffer | null {
    const at = this.#size + 4
    if (!this.#writeHex(hex, at)) return null
    this.#length(this.#size, hex.length / 2)
    this.#size = at + hex.length / 2
    return this.#buffer.subarray(at, this.#size)
  }

  /** The two fields of the oldest template: the bare digest, and the name filled up with NULs. @returns why not. */
  legacy(hex: string, name: string): string | null {
    this.#prefix = ''
    const at = hex.length / 2
    if (!this.#writeHex(hex, 0)) return 'the digest is neither SHA-1 nor MD5'
    const encoded = encodeBytes(name)
    const bytes = encoded.copy(this.#buffer, at)
    if (encoded.length >= LEGACY_NAME_SIZE) return `the path has ${encoded.length} bytes, the template ima holds 255`
    this.#size = at + LEGACY_NAME_SIZE
    this.#buffer.fill(0, at + bytes, this.#size)
    return null
  }

  /** False when it is not hexadecimal. The decoder stops at the first character that is no digit, but of a character beyond Latin it sees the lower byte alone. */
  #writeHex(hex: string, at: number): boolean {
    return (this.isLatin || HEX_DIGITS.test(hex)) && 2 * this.#buffer.write(hex, at, 'hex') === hex.length
  }

  #length(at: number, value: number): void {
    this.#buffer[at] = value
    this.#buffer[at + 1] = value >>> 8
    this.#buffer[at + 2] = value >>> 16
    this.#buffer[at + 3] = value >>> 24
  }
}
