/** A kept connection that can be replaced by one with a resumed session. */
export interface Renewable {
  /** Closes it, if it is idle and a session can be resumed: the next request opens another. @returns `busy` when it is to be tried again. */
  renew(): 'done' | 'busy' | 'never'
}

/** A connection that was opened or had a large answer so lately is left alone: its machine may have more to send, and a start has enough to do. */
const REST_MS = 30_000
/** So many in one sweep: some per cent of a processor. */
const MOST = 100

/**
 * Connections that keep memory which they no longer need: the keys and certificates of a full handshake, and the buffer that a large answer filled, some 20 to 70 KiB of each
 * machine. One that resumes a session has neither, and is as secret as the handshake that the session is of (decision 144). They are replaced a few at a time.
 */
export class BulkyConnections {
  /** Since when, in milliseconds: the oldest first. */
  readonly #since = new Map<Renewable, number>()

  add(connection: Renewable, now: number): void {
    this.#since.delete(connection)
    this.#since.set(connection, now)
  }

  delete(connection: Renewable): void {
    this.#since.delete(connection)
  }

  /** Once a second. @param now milliseconds of the clock of `add`. */
  sweep(now: number): void {
    let count = 0
    for (const [connection, since] of this.#since) {
      if (now - since < REST_MS || count === MOST) return
      this.#since.delete(connection)
      const outcome = connection.renew()
      if (outcome === 'busy') this.add(connection, now)
      if (outcome === 'done') count++
    }
  }
}
