import fs from 'node:fs'
import type { Acceptance, ReceivedRevocation } from './revocation-inbox.ts'

const CAPACITY = 64
const MAX_CHARACTERS = 64 * 1024

/**
 * Notifications that were taken but not yet judged. The sender was told that we have them, so they are kept in a file too: a stop or a kill in
 * between loses none; what the disk does not take is not taken. Bounded in number and size.
 */
export class WaitingMessages {
  readonly #file: string
  readonly #list: ReceivedRevocation[]

  constructor(file: string) {
    this.#file = file
    fs.rmSync(`${file}.new`, { force: true }) // of an agent that was killed while it wrote
    this.#list = readList(file)
  }

  get length(): number {
    return this.#list.length
  }

  add(received: ReceivedRevocation): Acceptance {
    if (this.#list.some((other) => isSame(other, received))) return 'taken'
    if (received.msg.length + received.signature.length + (received.verifierSignature?.length ?? 0) > MAX_CHARACTERS) return 'too_long'
    if (this.#list.length >= CAPACITY) return 'full'
    this.#list.push(received)
    if (this.#write()) return 'taken'
    this.#list.pop()
    return 'full'
  }

  /** In number: the disk has no part in it. */
  get isFull(): boolean {
    return this.#list.length >= CAPACITY
  }

  has(fits: (msg: string) => boolean): boolean {
    return this.#list.some(({ msg }) => fits(msg))
  }

  /** As they came. */
  all(): readonly ReceivedRevocation[] {
    return [...this.#list]
  }

  /** Where that cannot be written, the message is met again after a restart, and known to be handled. */
  drop(received: ReceivedRevocation): void {
    const at = this.#list.indexOf(received)
    if (at < 0) return
    this.#list.splice(at, 1)
    this.#write()
  }

  /** False when the disk does not take it. */
  #write(): boolean {
    const temporary = `${this.#file}.new`
    try {
      fs.writeFileSync(temporary, JSON.stringify(this.#list), { mode: 0o600 })
      fs.renameSync(temporary, this.#file)
      return true
    } catch {
      return false
    }
  }
}

/** With every signature: somebody on the way may have taken one away, and what comes whole must not count as told already. */
const isSame = (one: ReceivedRevocation, other: ReceivedRevocation): boolean =>
  one.msg === other.msg && one.signature === other.signature && one.verifierSignature === other.verifierSignature

function readList(file: string): ReceivedRevocation[] {
  try {
    const list = JSON.parse(fs.readFileSync(file, 'utf8')) as ReceivedRevocation[]
    return list.filter((item) => typeof item.msg === 'string' && typeof item.signature === 'string').slice(0, CAPACITY)
  } catch {
    return [] // none, or written by a process that died while it wrote its first
  }
}
