import { constants } from 'node:crypto'
import tls from 'node:tls'
import { Agent, buildConnector, type Dispatcher } from 'undici'
import { type JsonLimits, SMALL_JSON } from '../../core/api/bounded-json.ts'
import { readEnvelope } from '../../core/api/envelope.ts'
import { KeylimeError } from '../../core/errors.ts'
import { parseCertificate, parseCertificates } from '../../core/pki/certificate.ts'
import { whyNoServer } from '../../core/pki/roles.ts'
import { systemClock } from '../clock.ts'
import { dateTrouble } from './date-trouble.ts'
import { type ClientContext, pinnedConnector } from './pinned-connector.ts'
import { readAnswer } from './read-answer.ts'
import { transportError } from './transport-error.ts'

export interface ClientTls {
  /** Own certificate and key, PEM. */
  cert?: string
  key?: string
  keyPassword?: string
  /** CAs that may vouch for the server; host names are not checked, as everywhere in Keylime: the CA is its own (protocol 1.5). */
  ca?: string[]
  /** Exactly this certificate (PEM), in place of a CA. */
  pin?: string
}

export interface ApiClientOptions {
  /** `https://127.0.0.1:8891` */
  url: string
  /** To connect to in place of the URL's host: an address with a scope, for which a URL has no place. */
  host?: string
  /** Shown in errors: `registrar`, `verifier`, `agent`. */
  name: string
  tls?: ClientTls
  timeoutSeconds: number
  /** What answers may be where a request says nothing else; default `SMALL_ANSWERS`. */
  answers?: AnswerLimits
}

/** What is read of an answer: whoever answers in place of the server must not be able to do more than fail a request. */
export interface AnswerLimits {
  maxBytes: number
  json: JsonLimits
}

/** One record with its keys and certificates. */
export const SMALL_ANSWERS: AnswerLimits = { maxBytes: 256 << 10, json: SMALL_JSON }

/** Policies, evidence and lists of all agents, from a server that a CA of our own vouches for. */
export const LARGE_ANSWERS: AnswerLimits = { maxBytes: 128 << 20, json: { maxDepth: 64, maxValues: 4_000_000 } }

export interface ApiRequestOptions {
  query?: Record<string, string>
  body?: unknown
  timeoutSeconds?: number
  answers?: AnswerLimits
}

export interface ApiResponse {
  status: number
  /** `status` of the envelope. */
  message: string
  results: unknown
}

export interface ApiClient {
  /** @throws KeylimeError `unreachable`, `timeout`, `tls_failed`, `malformed`, `payload_too_large`; an HTTP status is no error. */
  request(method: Dispatcher.HttpMethod, path: string, options?: ApiRequestOptions): Promise<ApiResponse>
  close(): Promise<void>
}

/** A client of one server with kept-alive connections. */
export function openApiClient(options: ApiClientOptions): ApiClient {
  const url = new URL(options.url)
  const where = `${options.name} at ${url.host}`
  const { cert, ca, pin } = options.tls ?? {}
  const address =
    pin === undefined ? { address: { host: options.host ?? url.hostname.replace(/^\[|\]$/g, ''), port: Number(url.port || 443) } } : {}
  const trouble = { where, cert, ca, ...address }
  const agent = new Agent({
    connect: connector(options, url),
    keepAliveTimeout: 60_000,
    pipelining: 1,
  })
  return {
    async request(method, path, { query, body, timeoutSeconds, answers = options.answers ?? SMALL_ANSWERS } = {}) {
      const signal = AbortSignal.timeout((timeoutSeconds ?? options.timeoutSeconds) * 1000)
      const headers = { accept: 'application/json', ...(body === undefined ? {} : { 'content-type': 'application/json' }) }
      try {
        const response = await agent.request({
          origin: url.origin,
          method,
          path,
          headers,
          signal,
          ...(query ? { query } : {}),
          ...(body === undefined ? {} : { body: JSON.stringify(body) }),
        })
        const answer = { status: response.statusCode, body: await readAnswer(response, answers.maxBytes) }
        const { code: status, status: message, results } = readEnvelope(answer, answers.json)
        return { status, message, results }
      } catch (error) {
        throw (await dateTrouble(error, trouble, systemClock.now())) ?? transportError(error, where)
      }
    },
    close: () => agent.destroy(),
  }
}

function connector(options: ApiClientOptions, url: URL): NonNullable<Agent.Options['connect']> {
  const { tls: identity, timeoutSeconds, host } = options
  const timeout = timeoutSeconds * 1000
  const own = {
    ...(identity?.cert ? { cert: identity.cert } : {}),
    ...(identity?.key ? { key: identity.key } : {}),
    ...(identity?.keyPassword ? { passphrase: identity.keyPassword } : {}),
  }
  if (url.protocol === 'http:' || identity?.pin) {
    const port = Number(url.port || (url.protocol === 'http:' ? 80 : 443))
    const context = url.protocol === 'http:' ? undefined : { current: secureContext(own) }
    return pinnedConnector(
      { host: host ?? url.hostname.replace(/^\[|\]$/g, ''), port, pin: identity?.pin ?? null },
      { context, timeoutMs: timeout },
    )
  }
  const connect = buildConnector({
    ...own,
    ca: identity?.ca ?? [],
    timeout,
    rejectUnauthorized: true, // said explicitly: an environment variable could switch it off otherwise
    checkServerIdentity: serverCheck(options.name, identity?.ca ?? []),
    minVersion: 'TLSv1.2',
    maxCachedSessions: 0,
  } as buildConnector.BuildOptions)
  return host === undefined ? connect : (options, callback) => connect({ ...options, hostname: host }, callback)
}

/** In place of host names (decision 16): the role, where the authority gives any. */
function serverCheck(name: string, ca: readonly string[]) {
  const authorities = ca.flatMap(parseCertificates)
  return (_host: string, { raw }: { raw: Buffer }): Error | undefined => {
    const why = whyNoServer(parseCertificate(raw), authorities)
    if (!why) return undefined
    return new KeylimeError('tls_failed', `${name}: ${why}`, {
      hint: 'make it one with `keylime ca create --role server`; otherwise a machine may be posing as it',
    })
  }
}

/**
 * The same from what was read of files. A connection that resumes a session agrees on its keys by X25519 alone, which takes a quarter of the handshake less than with ML-KEM beside it: its secrecy
 * rests on the session's secret as well, which comes of a handshake that had both.
 */
export function clientContext({ cert, key, keyPassword }: { cert: string; key: string; keyPassword?: string }): Required<ClientContext> {
  const identity = { cert, key, ...(keyPassword ? { passphrase: keyPassword } : {}) }
  return { current: secureContext(identity), resuming: secureContext({ ...identity, ecdhCurve: 'X25519' }), cert }
}

/** A client certificate for many connections. @throws KeylimeError `tls_failed` when key and certificate do not fit. */
export function secureContext(identity: { cert?: string; key?: string; passphrase?: string; ecdhCurve?: string }): tls.SecureContext {
  try {
    return tls.createSecureContext({ ...identity, minVersion: 'TLSv1.2', secureOptions: constants.SSL_OP_NO_RENEGOTIATION })
  } catch (cause) {
    throw new KeylimeError('tls_failed', 'the client certificate and its key cannot be used', {
      cause,
      hint: 'check client_cert, client_key and client_key_password',
    })
  }
}
