import { createPublicKey, type KeyObject } from 'node:crypto'
import net, { type OnReadOpts, type Socket } from 'node:net'
import tls from 'node:tls'
import type { buildConnector } from 'undici'
import { hostPort } from '../../core/api/host-port.ts'
import { KeylimeError } from '../../core/errors.ts'
import { type DateProblem, dateProblem } from '../../core/pki/certificate-dates.ts'
import { type PinnedCertificate, readPinned } from '../../core/pki/pinned-certificate.ts'
import type { ProvenSession } from './proven-session.ts'

export interface PinnedTarget {
  host: string
  port: number
  /** The certificate that the peer must show, or another for its key, PEM; null speaks plain HTTP. */
  pin: string | null
}

/** The client certificate of many connections: each new one shows what is `current` then. */
export interface ClientContext {
  current: tls.SecureContext
  /** The same for a connection that is to resume a session; default `current`. */
  resuming?: tls.SecureContext
  /** The certificate itself, PEM: named when a peer ends the connection because it has ended. */
  cert?: string
}

/** The public key of a PEM certificate, DER. @throws KeylimeError `malformed`. */
export const pinOf = (pem: string): Buffer => readPin(pem).spki

function readPin(pem: string): PinnedCertificate {
  try {
    return readPinned(pem)
  } catch (cause) {
    throw new KeylimeError('malformed', 'the certificate to pin is not a PEM certificate', { cause })
  }
}

/** What is wrong with the dates of a certificate to pin, or undefined; one that cannot be read is refused by who connects. @param now milliseconds since the epoch. */
export function pinDates(pem: string, now: number): DateProblem | undefined {
  try {
    return dateProblem(readPinned(pem), now)
  } catch {
    return undefined
  }
}

/** What a connection is made with. */
export interface ConnectionTerms {
  /** The client certificate, shared by all peers. */
  context: ClientContext | undefined
  timeoutMs: number
  /** Without one no session is ever resumed. */
  sessions?: ProvenSession
  /** Told of a connection that resumed a session. */
  resumed?(): void
}

/**
 * Connects to exactly one peer. With a pin, the key of its certificate is compared before the first byte of a request is written; TLS has proved by then
 * that the peer holds it. The rest of the certificate proves nothing more, and is another when the agent has renewed it (decision 63). A resumed connection shows no
 * certificate: it counts where the session is of a connection whose pin was compared (`ProvenSession`). Who cannot resume is asked once more without a session.
 */
export function pinnedConnector(target: PinnedTarget, terms: ConnectionTerms): buildConnector.connector {
  const connect = pinnedConnection(target, terms)
  return (_options, callback) =>
    connect(undefined, (error, socket) =>
      socket ? callback(null, socket as tls.TLSSocket) : callback(error ?? new Error('no connection'), null),
    )
}

/** The same for who reads from the socket into memory of its own. */
export function pinnedConnection(target: PinnedTarget, terms: ConnectionTerms): (onread: OnReadOpts | undefined, finish: Finish) => void {
  const pin = target.pin === null ? null : pinOf(target.pin)
  return (onread, finish) => {
    const limit: Limit = { isOver: false, end() {} }
    const timer = boundTime(terms.timeoutMs, () => {
      limit.isOver = true
      limit.end(new KeylimeError('timeout', `${hostPort(target.host, target.port)} did not accept a connection in time`))
    })
    const done: Finish = (error, socket) => {
      timer.stop()
      limit.end = () => {}
      finish(error, socket)
    }
    if (pin === null) connectPlain({ ...target, onread }, limit, done)
    else connectPinned({ target, pin, terms, onread, limit }, done)
  }
}

/** The time that a connection may take. */
interface Limit {
  isOver: boolean
  /** What is done then, by the connection that is being made. */
  end(reason: Error): void
}

type Finish = (error: Error | null, socket: Socket | null) => void

type Read = { onread: OnReadOpts | undefined }
const readingInto = ({ onread }: Read) => (onread ? { onread } : {})

function connectPlain({ host, port, ...read }: PinnedTarget & Read, limit: Limit, finish: Finish): void {
  const socket = net.connect({ host, port, noDelay: true, ...readingInto(read) })
  const done = once(finish)
  limit.end = (reason) => fail(socket, reason, done)
  socket.on('error', (error) => fail(socket, error, done)) // stays: an error after the hand-over is the new owner's, and must not be unhandled before
  socket.once('connect', () => done(null, socket))
}

interface Pinned extends Read {
  target: PinnedTarget
  pin: Buffer
  terms: ConnectionTerms
  limit: Limit
}

function connectPinned(asked: Pinned, finish: Finish): void {
  const { target, pin, terms, limit } = asked
  const { sessions } = terms
  const context = terms.context?.current
  const offered = sessions?.offer(context, performance.now()) ?? null
  const socket = tls.connect({
    ...{ host: target.host, port: target.port, noDelay: true, rejectUnauthorized: false, servername: '', minVersion: 'TLSv1.2' },
    ...(context ? { secureContext: (offered && terms.context?.resuming) || context } : {}),
    ...(offered ? { session: offered.session } : {}),
    ...readingInto(asked),
  } as tls.ConnectionOptions) // its types leave `onread` out
  const done = once(finish)
  let isThere = false
  let provenAt: number | null = null
  socket.once('connect', () => {
    isThere = true
  })
  limit.end = (reason) => fail(socket, reason, done)
  socket.on('error', (error) => {
    if (!isThere || offered === null || provenAt !== null || limit.isOver) return fail(socket, error, done)
    sessions?.failed(performance.now(), isAlert(error))
    done.pass()
    socket.destroy()
    connectPinned(asked, finish)
  })
  socket.on('session', (session) => {
    const isSafe = offered === null || socket.isSessionReused() // its secret is not of a handshake by X25519 alone
    if (provenAt !== null && isSafe && socket.getProtocol() === 'TLSv1.3') sessions?.keep({ session, provenAt }, context)
  })
  socket.once('secureConnect', () => {
    const isResumed = offered !== null && socket.isSessionReused()
    if (!isResumed && !showsKey(socket, pin)) return fail(socket, otherCertificate(target), done)
    provenAt = isResumed ? offered.provenAt : performance.now()
    if (isResumed) sessions?.resumed()
    else if (offered !== null) sessions?.notResumed()
    if (isResumed) terms.resumed?.()
    done(null, socket)
  })
}

/** The peer says no, by a message of TLS. */
const isAlert = (error: NodeJS.ErrnoException) => /^ERR_SSL_.*ALERT/.test(error.code ?? '')

function showsKey(socket: tls.TLSSocket, pin: Buffer): boolean {
  const shown = socket.getPeerX509Certificate()
  try {
    return shown !== undefined && (readPinned(shown.raw).spki.equals(pin) || isSameKey(shown.publicKey, pin))
  } catch {
    return false // what cannot be read is not what was registered
  }
}

/** Keys can be written in several ways: a renewed certificate may have another. */
const isSameKey = (shown: KeyObject, pin: Buffer): boolean => shown.equals(createPublicKey({ key: pin, format: 'der', type: 'spki' }))

const otherCertificate = ({ host, port }: PinnedTarget) =>
  new KeylimeError('tls_failed', `${hostPort(host, port)} shows another certificate than the one registered for this agent`, {
    hint: 'the agent was reinstalled, or something else answers at this address',
  })

function fail(socket: Socket, error: Error, done: Finish): void {
  socket.destroy()
  done(error, null)
}

/** The first word counts; `pass` leaves it to another connection. */
function once(finish: Finish): Finish & { pass(): void } {
  let isDone = false
  const first = (error: Error | null, socket: Socket | null) => {
    if (isDone) return
    isDone = true
    finish(error, socket)
  }
  return Object.assign(first, {
    pass() {
      isDone = true
    },
  })
}

/** So much later than it was set for a timer fires only when something held up the event loop, or the process was stopped. */
const HELD_UP_MS = 1000

/** Time that nobody could use does not count: what came meanwhile is read before the end is said. */
function boundTime(ms: number, end: () => void): { stop(): void } {
  const due = performance.now() + ms
  let timer = setTimeout(() => {
    if (performance.now() - due < HELD_UP_MS) return end()
    timer = setTimeout(end, HELD_UP_MS)
  }, ms)
  return { stop: () => clearTimeout(timer) }
}
