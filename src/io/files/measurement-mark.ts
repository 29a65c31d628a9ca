import fs from 'node:fs'
import path from 'node:path'

/** A number of some digits. */
const COUNT_BYTES = 32

/**
 * Says cheaply whether the measurement list has grown: by the kernel's own count beside it (`runtime_measurements_count`), or by the size of a list that has one. Nothing of the list is
 * read.
 */
export class MeasurementMark {
  readonly #list: string
  readonly #bytes = Buffer.alloc(COUNT_BYTES)
  #fd: number | null = null

  /** @param list path of the list. */
  constructor(list: string) {
    this.#list = list
  }

  /** The kernel's count may only be opened by root, so this comes before privileges are given up. */
  open(): void {
    try {
      this.#fd ??= fs.openSync(path.join(path.dirname(this.#list), 'runtime_measurements_count'), 'r')
    } catch {} // no such count, or not for this user: the size has to do
  }

  /** Another number whenever the list is another; null for no list, or one that says nothing of itself. */
  read(): number | null {
    try {
      if (this.#fd === null) return fs.statSync(this.#list).size || null
      const length = fs.readSync(this.#fd, this.#bytes, 0, COUNT_BYTES, 0)
      return Number(this.#bytes.toString('latin1', 0, length)) || null
    } catch {
      return null
    }
  }

  close(): void {
    if (this.#fd !== null) fs.closeSync(this.#fd)
    this.#fd = null
  }
}
