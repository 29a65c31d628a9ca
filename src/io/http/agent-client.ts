import type tls from 'node:tls'
import { Client } from 'undici'
import { type Envelope, parseEnvelope } from '../../core/api/envelope.ts'
import { hostPort } from '../../core/api/host-port.ts'
import { KeylimeError } from '../../core/errors.ts'
import { type PinnedTarget, pinnedConnector } from './pinned-connector.ts'
import { transportError } from './transport-error.ts'

/** One request to an agent. */
export interface AgentRequest {
  method: 'GET' | 'POST'
  path: string
  body?: unknown
}

/** A kept-alive connection to one agent, pinned to its certificate. */
export interface AgentConnection {
  /**
   * @throws KeylimeError `unreachable`, `timeout`, `tls_failed`, `malformed`. `details.stale` is true when a connection that was idle turned out
   * to be closed before a byte of the answer came: ask again at once, with a new nonce.
   */
  request(request: AgentRequest): Promise<Envelope>
  close(): void
}

export interface AgentClientOptions {
  /** Client certificate shown to every agent; undefined for agents without TLS. */
  context: tls.SecureContext | undefined
  /** Total time of one request, connection included. */
  timeoutSeconds: number
  /** How long an idle connection is worth keeping. */
  keepAliveSeconds: number
}

const MAX_RESPONSE_BYTES = 100 << 20
const SWEEP_MS = 1000

interface Pending {
  deadline: number
  abort: AbortController
}

/** The verifier's only way to agents (decision 34): the seam behind which the transport can change. */
export interface AgentClient {
  connect(target: PinnedTarget): AgentConnection
  close(): void
}

/** Deadlines are swept once a second for all requests together: no timer per request. */
export function createAgentClient(options: AgentClientOptions): AgentClient {
  const pending = new Set<Pending>()
  const sweep = setInterval(() => {
    const now = performance.now()
    for (const request of pending) if (request.deadline < now) request.abort.abort(new KeylimeError('timeout', 'no answer in time'))
  }, SWEEP_MS)
  sweep.unref()
  return {
    connect: (target) => connection(target, options, pending),
    close: () => clearInterval(sweep),
  }
}

function connection(target: PinnedTarget, options: AgentClientOptions, pending: Set<Pending>): AgentConnection {
  const address = hostPort(target.host, target.port)
  const where = `agent at ${address}`
  const client = new Client(`${target.pin === null ? 'http' : 'https'}://${address}`, {
    connect: pinnedConnector(target, options.context, options.timeoutSeconds * 1000),
    keepAliveTimeout: options.keepAliveSeconds * 1000,
    keepAliveMaxTimeout: options.keepAliveSeconds * 1000,
    maxResponseSize: MAX_RESPONSE_BYTES,
    headersTimeout: 0, // the sweep bounds the whole request
    bodyTimeout: 0,
    pipelining: 1,
  })
  let answered = 0
  return {
    async request({ method, path, body }) {
      const entry = { deadline: performance.now() + options.timeoutSeconds * 1000, abort: new AbortController() }
      const reused = answered > 0
      pending.add(entry)
      try {
        const text = body === undefined ? undefined : JSON.stringify(body)
        const headers =
          text === undefined ? { accept: 'application/json' } : { accept: 'application/json', 'content-type': 'application/json' }
        const response = await client.request({
          method,
          path,
          headers,
          signal: entry.abort.signal,
          ...(text === undefined ? {} : { body: text }),
        })
        answered++
        return parseEnvelope(response.statusCode, await response.body.text())
      } catch (error) {
        const mapped = transportError(entry.abort.signal.aborted ? entry.abort.signal.reason : error, where)
        const stale = reused && isClosedSocket(error)
        throw stale ? new KeylimeError(mapped.code, mapped.message, { cause: error, details: { stale } }) : mapped
      } finally {
        pending.delete(entry)
      }
    },
    close: () => void client.destroy(),
  }
}

const isClosedSocket = (error: unknown) =>
  ['UND_ERR_SOCKET', 'ECONNRESET', 'EPIPE'].includes(String((error as NodeJS.ErrnoException)?.code))
