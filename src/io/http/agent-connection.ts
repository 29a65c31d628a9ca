import type { RawAnswer } from '../../core/api/envelope.ts'

/** One request to an agent. */
export interface AgentRequest {
  method: 'GET' | 'POST'
  path: string
  body?: unknown
  /** Largest answer that is read. */
  maxBytes: number
}

/** A kept-alive connection to one agent, pinned to its certificate. */
export interface AgentConnection {
  /**
   * The answer as it came: what is in it may be anything, and large.
   * @throws KeylimeError `unreachable`, `timeout`, `tls_failed`; `payload_too_large` for an answer beyond `maxBytes`, `unavailable` when those of
   * many agents together were too large: then the connection is closed. `details.stale` is true when a connection that was idle turned out to be
   * closed before a byte of the answer came: ask again at once, with a new nonce. An agent that refuses the client certificate which the connection was
   * opened with is asked once more with the one that counts now.
   */
  request(request: AgentRequest): Promise<RawAnswer>
  /** The client certificate, PEM, that the open connection shows, or the next one will. */
  shown(): string | undefined
  close(): void
}

/** What became of connections to agents. */
export interface ConnectionFigures {
  /** Open now. */
  open: number
  /** Opened so far: each takes a handshake. */
  opened: number
  /** Of these, those that resumed a session, for half the price. */
  resumed: number
}
