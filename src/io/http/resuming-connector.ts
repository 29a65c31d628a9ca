import type { TLSSocket } from 'node:tls'
import { buildConnector } from 'undici'
import { ProvenSession } from './proven-session.ts'

/**
 * Connects to one server, as `options` say, and resumes the TLS session of the connection before: it spares both sides certificates and signatures, of which a server that all its clients come back to at once has
 * the most. Who resumes a session knows its secret, which comes of a handshake in which chain, name and role of the server were verified: a session is kept of such a connection alone,
 * for these options and this server (each client has a connector of its own), and an hour at most. As in that handshake there was a key exchange that is safe from quantum computers, X25519 is enough in this one (decision 138).
 */
export function resumingConnector(options: buildConnector.BuildOptions): buildConnector.connector {
  const sessions = new ProvenSession()
  const connect = (asked: buildConnector.Options, callback: buildConnector.Callback): void => {
    const offered = sessions.offer(undefined, performance.now())
    const begin = buildConnector({ ...options, ...(offered ? { session: offered.session, ecdhCurve: 'X25519' } : {}) })
    begin(asked, (error, socket) => {
      if (error) {
        if (offered === null || !isOfTls(error)) return callback(error, null)
        sessions.failed(performance.now(), saysNo(error))
        return saysNo(error) ? connect(asked, callback) : callback(error, null)
      }
      const connection = socket as TLSSocket
      const isResumed = offered !== null && connection.isSessionReused()
      const provenAt = isResumed ? offered.provenAt : performance.now()
      if (isResumed) sessions.resumed()
      else if (offered !== null) {
        sessions.notResumed()
        return callback(null, connection)
      }
      connection.on('session', (session) => {
        if (connection.getProtocol() === 'TLSv1.3') sessions.keep({ session, provenAt }, undefined)
      })
      callback(null, connection)
    })
  }
  return connect as buildConnector.connector
}

/** A connection that was refused, or not there in time, says nothing of the session. */
const isOfTls = ({ code = '' }: NodeJS.ErrnoException): boolean => code === 'ECONNRESET' || code.startsWith('ERR_SSL')

/** By an alert of TLS; a connection that only ended may have been sent away by a server that has too many. */
const saysNo = ({ code = '' }: NodeJS.ErrnoException): boolean => code.startsWith('ERR_SSL')
