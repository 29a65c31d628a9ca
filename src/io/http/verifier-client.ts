import tls, { type PeerCertificate } from 'node:tls'
import { Agent, type buildConnector } from 'undici'
import { urlHostPort } from '../../core/api/host-port.ts'
import { readRetryAfter } from '../../core/api/push/retry-after.ts'
import { isKeylimeError, KeylimeError } from '../../core/errors.ts'
import { parseCertificate, parseCertificates } from '../../core/pki/certificate.ts'
import { whyNoServer } from '../../core/pki/roles.ts'
import { cutText } from '../../core/verdict/bounded-text.ts'
import type { Clock } from '../clock.ts'
import { dateTrouble } from './date-trouble.ts'
import { readAnswer } from './read-answer.ts'
import { resumingConnector } from './resuming-connector.ts'
import { transportError } from './transport-error.ts'

export interface VerifierClientOptions {
  /** `https://verifier.example:8881`, with a path in front of the API where a proxy has one. */
  readonly url: string
  /** CAs that may vouch for the verifier, PEM. */
  readonly ca: readonly string[]
  /** For tests and emergencies: any certificate counts. */
  readonly acceptAnyCertificate: boolean
  /** Any name counts, as everywhere else in Keylime. */
  readonly acceptAnyName: boolean
  /** To connect, and from the last byte of a request to the head of the answer. */
  readonly timeoutMs: number
  /** For everything: a large list takes its time on a slow line. */
  readonly wholeMs: number
  /** For the body of an answer. Default `timeoutMs`. */
  readonly answerMs?: number
  readonly clock: Pick<Clock, 'now'>
}

export interface VerifierRequest {
  readonly method: 'GET' | 'POST' | 'PATCH'
  /** Below the URL: `/v3.0/sessions`. */
  readonly path: string
  /** JSON; none of a GET. */
  readonly body?: string
  readonly contentType: string
  readonly token?: string
  readonly requestId?: string
  readonly maxBytes: number
  /** The answer may take so much longer: milliseconds. Such a request is not repeated. */
  readonly holdMs?: number
  /** Ends it, and its connection. */
  readonly signal?: AbortSignal
}

export interface VerifierAnswer {
  readonly status: number
  /** Null when it was larger than what is read, or did not arrive within the time of an answer. */
  readonly body: Buffer | null
  /** It answers a repetition: the first request went to a connection that ended before its answer came. */
  readonly repeated: boolean
  readonly retryAfterMs: number | null
  readonly location: string | null
}

/** An agent's only way to a verifier that it brings evidence to. */
export interface VerifierClient {
  /** @throws KeylimeError `unreachable`, `timeout`, `tls_failed`; a status is no error, and nobody is led elsewhere by one. */
  request(request: VerifierRequest): Promise<VerifierAnswer>
  /** What is under way fails at once. */
  close(): Promise<void>
}

const KEEP_ALIVE_MS = 600_000

/** A client with one kept connection, that verifies the name of the verifier (push-wire 1). */
export function openVerifierClient(options: VerifierClientOptions): VerifierClient {
  const url = new URL(options.url)
  const prefix = url.pathname.replace(/\/+$/, '')
  const where = `verifier at ${url.host}`
  const host = url.hostname.replace(/^\[|\]$/g, '')
  const port = Number(url.port || (url.protocol === 'https:' ? 443 : 80))
  const agent = new Agent({
    connect: resumingConnector(connectOptions(options, host, port)),
    connections: 1,
    pipelining: 1,
    keepAliveTimeout: KEEP_ALIVE_MS,
    keepAliveMaxTimeout: KEEP_ALIVE_MS,
    headersTimeout: options.timeoutMs,
    bodyTimeout: options.timeoutMs,
  })
  const answerMs = options.answerMs ?? options.timeoutMs
  let answered = 0
  async function once(request: VerifierRequest, repeated = false): Promise<VerifierAnswer> {
    const ending = new AbortController()
    const { holdMs = 0, signal } = request
    const response = await agent.request({
      origin: url.origin,
      method: request.method,
      path: `${prefix}${request.path}`,
      headers: headersOf(request),
      body: request.body ?? null,
      headersTimeout: options.timeoutMs + holdMs,
      signal: AbortSignal.any([AbortSignal.timeout(options.wholeMs + holdMs), ending.signal, ...(signal ? [signal] : [])]),
    })
    answered++
    const timer = setTimeout(() => ending.abort(), answerMs)
    return {
      status: response.statusCode,
      repeated,
      retryAfterMs: readRetryAfter(single(response.headers['retry-after']), options.clock.now()),
      location: single(response.headers['location']) || null,
      body: await readAnswer(response, request.maxBytes)
        .catch((error) => (ending.signal.aborted ? null : tooLarge(error)))
        .finally(() => clearTimeout(timer)),
    }
  }
  return {
    async request(request) {
      const reused = answered > 0 && request.holdMs === undefined
      try {
        return await once(request).catch((error) => (reused && isClosedSocket(error) ? once(request, true) : Promise.reject(error)))
      } catch (error) {
        throw (
          (await dateTrouble(error, { where, ca: options.ca, address: { host, port } }, options.clock.now())) ??
          transportError(error, where)
        )
      }
    },
    close: () => agent.destroy(),
  }
}

/** The rest is not read, but the answer is one. */
function tooLarge(error: unknown): null {
  if (isKeylimeError(error) && error.code === 'payload_too_large') return null
  throw error
}

const single = (header: string | string[] | undefined): string => cutText((Array.isArray(header) ? header[0] : header) ?? '', 1024)

/** A kept connection that the other side has closed meanwhile. */
const isClosedSocket = (error: unknown) =>
  ['UND_ERR_SOCKET', 'ECONNRESET', 'EPIPE'].includes(String((error as NodeJS.ErrnoException)?.code))

const headersOf = ({ contentType, body, token, requestId }: VerifierRequest): Record<string, string> => ({
  ...(body === undefined ? {} : { 'content-type': contentType }),
  accept: contentType,
  ...(token ? { authorization: `Bearer ${token}` } : {}),
  ...(requestId ? { 'x-request-id': requestId } : {}),
})

function connectOptions(options: VerifierClientOptions, host: string, port: number): buildConnector.BuildOptions {
  const { ca, acceptAnyCertificate, acceptAnyName, timeoutMs } = options
  const authorities = ca.flatMap(parseCertificates)
  return {
    ca: [...ca],
    timeout: timeoutMs,
    rejectUnauthorized: !acceptAnyCertificate, // said explicitly: an environment variable could switch it off otherwise
    minVersion: 'TLSv1.2',
    maxCachedSessions: 0,
    checkServerIdentity: (_asked: string, shown: PeerCertificate) =>
      whyAnother(host, shown, acceptAnyName, urlHostPort(host, port)) ?? whyNone(shown, authorities),
  } as buildConnector.BuildOptions
}

/** @returns why the certificate is not for the host of `verifier_url`. */
function whyAnother(host: string, shown: PeerCertificate, acceptAnyName: boolean, where: string): KeylimeError | undefined {
  if (acceptAnyName || !tls.checkServerIdentity(host, shown)) return undefined
  const names = [...(shown.subjectaltname ?? '').matchAll(/(?:DNS|IP Address):([^,]+)/g)].map(([, name]) => name)
  const known = cutText(names.join(', '), 300)
  return new KeylimeError(
    'tls_failed',
    `the certificate of the verifier at ${where} is not for ${host}, but for ${known || 'no name at all'}`,
    {
      hint: `${known ? 'write one of its names into verifier_url, or ' : ''}make it again for this one: add ${host} to cert_subject_alternative_names in verifier.conf, remove server-cert.crt in its tls_dir, and restart the verifier`,
    },
  )
}

/** The role, where the authority gives any: a machine with a certificate must not take the verifier's place. */
function whyNone(shown: PeerCertificate, authorities: ReturnType<typeof parseCertificates>): KeylimeError | undefined {
  const why = whyNoServer(parseCertificate(shown.raw), authorities)
  if (!why) return undefined
  return new KeylimeError('tls_failed', `verifier: ${why}`, {
    hint: 'make it one with `keylime ca create --role server`; otherwise a machine may be posing as it',
  })
}
