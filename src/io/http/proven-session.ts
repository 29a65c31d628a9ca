import type { SecureContext } from 'node:tls'
import { ownCopy } from '../../core/own-copy.ts'

/** So long after the handshake in which the machine proved its key a session of it counts; then it proves it again. */
const MAX_AGE_MS = 3_600_000
/** Who cannot resume a session ends the handshake, and is offered none for so long. */
const REFUSED_MS = 86_400_000

/** In a row, without a word why. */
const MAX_FAILURES = 3

/** A session that may be offered, and when the machine behind it proved its key (monotonic milliseconds). */
export interface OfferedSession {
  readonly session: Buffer
  readonly provenAt: number
}

/**
 * The TLS session of one machine, so that a new connection needs no certificates: half the price of a handshake. A resumed connection shows no certificate to compare with the
 * pin. It is as good as one that does: who resumes has the session's secret, which comes of the handshake in which the pinned key was proved and is known to nobody else. So a session is kept
 * of a connection alone whose pin was compared, for this machine and pin alone (each connection to a machine has an object of this), shown with the client certificate that it was
 * made with, and forgotten after an hour (decision 120).
 */
export class ProvenSession {
  #kept: (OfferedSession & { context: SecureContext | undefined }) | null = null
  #failures = 0
  #refusedUntil = Number.NEGATIVE_INFINITY

  /** @param context the client certificate that would be shown. @param now monotonic milliseconds. */
  offer(context: SecureContext | undefined, now: number): OfferedSession | null {
    const kept = this.#kept
    if (kept === null || now < this.#refusedUntil) return null
    if (kept.context === context && now - kept.provenAt < MAX_AGE_MS) return kept
    this.#kept = null
    return null
  }

  /** @param offered.provenAt of the handshake in which the key was proved: a session that comes of a resumed one is no younger. */
  keep(offered: OfferedSession, context: SecureContext | undefined): void {
    this.#kept = { provenAt: offered.provenAt, session: ownCopy(offered.session), context }
  }

  /** A connection began without the session that was offered. Its keys come of X25519 alone, so no session of it is kept: the next connection agrees on a secret that is safe from quantum computers. */
  notResumed(): void {
    this.#kept = null
  }

  /** A connection was resumed by what was offered. */
  resumed(): void {
    this.#failures = 0
  }

  /** A handshake ended in which one was offered. @param saysNo by an alert; otherwise it may have been the network. */
  failed(now: number, saysNo: boolean): void {
    this.#kept = null
    this.#failures++
    if (saysNo || this.#failures >= MAX_FAILURES) this.#refusedUntil = now + REFUSED_MS
  }
}
