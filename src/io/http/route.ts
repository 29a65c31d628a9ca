import type { IncomingHttpHeaders } from 'node:http'
import type { JsonLimits } from '../../core/api/bounded-json.ts'
import type { RateLimit } from '../../core/concurrency/rate-limiter.ts'

/**
 * Who may call a route: `public` anyone, also without TLS where the route says `plainHttp`; `admin` a client whose certificate the listener's `ClientCheck`
 * accepts; `reader` also one of the role `verifier`, which no `admin` route takes; `peer` the same as `reader` at an agent, whose listener demands the certificate for the whole connection, and
 * `operator` as `admin` there; `agent` who shows the token of a session of the agent in the path (`:id`).
 */
export type Access = 'public' | 'admin' | 'reader' | 'peer' | 'operator' | 'agent'

/** `sha256`: of the certificate, in hex. */
interface Named {
  commonName: string
  sha256: string
}

/**
 * Who is at the other end. `untrusted`: showed a certificate that no trusted CA issued for this use. `refused`: a trusted CA issued it, but it was revoked, or
 * is no operator's.
 */
export type Peer =
  | { kind: 'anonymous' }
  | { kind: 'untrusted'; why: string }
  | ({ kind: 'refused'; why: string } & Named)
  /** `certificate`: DER. */
  | ({ kind: 'certificate'; certificate?: Buffer } & Named)

export interface ApiRequest {
  method: string
  path: string
  /** `2.6`; empty for routes without a version. */
  version: string
  params: Record<string, string>
  query: URLSearchParams
  headers: IncomingHttpHeaders
  /** Parsed JSON, or a Buffer for a route that takes bytes; undefined when there was no body. */
  body: unknown
  peer: Peer
  remoteAddress: string
  /** @param tell when the connection has ended before the answer: nobody reads it any more. */
  onGone(tell: () => void): void
}

export interface ApiReply {
  /** HTTP status, default 200. */
  status?: number
  /** `status` of the envelope, default `Success` or the reason phrase. */
  message?: string
  results?: unknown
  /** A body that is no envelope. One of many megabytes comes in pieces, so that no turn of the event loop has all of it. */
  raw?: { type: string; body: string | Buffer | AsyncIterable<Buffer> }
  headers?: Record<string, string>
  /** Id of a machine that has proved its key by this request. */
  provedMachine?: string
  /** What stands for a TPM that has proved itself by this request and the one before, and that a maker or an operator vouches for: the two do not count (`Route.rate`). */
  provedTpm?: string
}

/** What a route reads, after it was found out that the peer may call it. */
export interface BodyRule {
  maxBytes: number
  /** `bytes` hands the body over as a Buffer, unparsed. Default `json`. */
  as?: 'json' | 'bytes'
  /** Default `SMALL_JSON`. */
  json?: JsonLimits
}

export interface Route {
  method: 'GET' | 'HEAD' | 'POST' | 'PUT' | 'PATCH' | 'DELETE'
  /** Segments; `:name` takes one segment, a first segment `v:version` the version: `/v:version/agents/:id`. A last `*` takes all the rest. */
  path: string
  access: Access
  /** Also served on a listener without TLS. */
  plainHttp?: boolean
  /** Whole fleets ask at once, as they do with tokens (`agent`): answered with no more than Node.js needs (`answer-machine.ts`). */
  fleet?: boolean
  /** Default `SMALL_BODY`. */
  body?: BodyRule
  /** How often peers without a certificate of ours may ask. Routes that have the same object are counted together. */
  rate?: RateLimit
  /** Form of the errors; default upstream's envelope. */
  errors?: 'json_api'
  /** Switched off: why, as a sentence. Answered with 403 before anything is read. */
  off?: string
  handle(request: ApiRequest): ApiReply | Promise<ApiReply>
}
