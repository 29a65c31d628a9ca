import fs from 'node:fs'
import type { Acceptance, ReceivedRevocation } from './revocation-inbox.ts'

interface Room {
  readonly messages: number
  readonly characters: number
}

const ROOM: Room = { messages: 64, characters: 1 << 20 }
/** For those that no key fits: anybody on the way of ZeroMQ can send them, and what can be acted upon must find room beside. */
const KEYLESS_ROOM: Room = { messages: 32, characters: 1 << 18 }
const MAX_CHARACTERS = 64 * 1024
/** In which a payload or the verifier brings the key of a notice that came early. */
const KEYLESS_MS = 86_400_000

/** `keylessSince`: when it came and no key fitted it, milliseconds since the epoch. */
interface WaitingMessage extends ReceivedRevocation {
  keylessSince?: number
}

/**
 * Notifications that were taken but not yet judged. The sender was told that we have them, so they are kept in a file too: a stop or a kill in
 * between loses none; what the disk does not take is not taken. Bounded in number and size, and in age where no key fits.
 */
export class WaitingMessages {
  readonly #file: string
  readonly #list: WaitingMessage[]

  constructor(file: string) {
    this.#file = file
    fs.rmSync(`${file}.new`, { force: true }) // of an agent that was killed while it wrote
    this.#list = readList(file)
  }

  get length(): number {
    return this.#list.length
  }

  /** @param keylessSince now, for one that no key fits. */
  add(received: ReceivedRevocation, keylessSince: number | null): Acceptance {
    if (this.#list.some((other) => isSame(other, received))) return 'taken'
    if (charactersOf(received) > MAX_CHARACTERS) return 'too_long'
    if (keylessSince !== null && !hasRoom(this.keyless(), received, KEYLESS_ROOM)) return 'no_key'
    if (!this.hasRoomFor(received)) return 'full'
    this.#list.push(keylessSince === null ? { ...received } : { ...received, keylessSince })
    if (this.#write()) return 'taken'
    this.#list.pop()
    return 'full'
  }

  /** The disk has no part in it. */
  hasRoomFor(received: ReceivedRevocation): boolean {
    return hasRoom(this.#list, received, ROOM)
  }

  has(fits: (msg: string) => boolean): boolean {
    return this.#list.some(({ msg }) => fits(msg))
  }

  /** As they came. */
  all(): readonly ReceivedRevocation[] {
    return [...this.#list]
  }

  /** Those that no key fits, as they came. */
  keyless(): readonly ReceivedRevocation[] {
    return this.#list.filter(({ keylessSince }) => keylessSince !== undefined)
  }

  /** No key fits it, any more or as yet. @param now milliseconds since the epoch. */
  setKeyless(received: ReceivedRevocation, now: number): void {
    const known = this.#list.find((other) => other === received)
    if (known) known.keylessSince ??= now
  }

  /** Drops those that no key has fitted for a day. A time in the future, by a clock that was ahead, begins anew. @returns them. */
  dropKeyless(now: number): readonly ReceivedRevocation[] {
    const early = this.#list.filter(({ keylessSince = 0 }) => keylessSince > now)
    for (const one of early) one.keylessSince = now
    if (early.length > 0) this.#write()
    const over = this.#list.filter(({ keylessSince }) => keylessSince !== undefined && now - keylessSince >= KEYLESS_MS)
    for (const one of over) this.drop(one)
    return over
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

const charactersOf = ({ msg, signature, verifierSignature }: ReceivedRevocation) =>
  msg.length + signature.length + (verifierSignature?.length ?? 0)

const hasRoom = (list: readonly ReceivedRevocation[], received: ReceivedRevocation, { messages, characters }: Room): boolean =>
  list.length < messages && list.reduce((sum, one) => sum + charactersOf(one), charactersOf(received)) <= characters

/** With every signature: somebody on the way may have taken one away, and what comes whole must not count as told already. */
const isSame = (one: ReceivedRevocation, other: ReceivedRevocation): boolean =>
  one.msg === other.msg && one.signature === other.signature && one.verifierSignature === other.verifierSignature

function readList(file: string): WaitingMessage[] {
  try {
    const list = JSON.parse(fs.readFileSync(file, 'utf8')) as WaitingMessage[]
    return list.filter((item) => typeof item.msg === 'string' && typeof item.signature === 'string').slice(0, ROOM.messages)
  } catch {
    return [] // none, or written by a process that died while it wrote its first
  }
}
