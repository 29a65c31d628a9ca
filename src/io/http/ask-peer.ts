import http from 'node:http'
import https from 'node:https'
import type { TLSSocket } from 'node:tls'
import { toPem } from '../../core/pki/certificate.ts'

export interface PeerQuestion {
  /** An address, not a name. */
  readonly address: string
  readonly port: number
  readonly path: string
  readonly tls: PeerCredentials | null
  readonly signal: AbortSignal
}

export interface PeerCredentials {
  /** CAs that may vouch for the server, PEM. */
  readonly ca: readonly string[]
  /** What this side shows, PEM. */
  readonly cert?: string
  readonly key?: string
  readonly keyPassword?: string
}

export interface PeerReply {
  readonly status: number
  /** Milliseconds since the epoch, to the second. */
  readonly date: number | undefined
  readonly body: string
  readonly tls: SeenServer | null
}

export interface SeenServer {
  /** Undefined when the CAs vouch for it, else OpenSSL's code, such as `SELF_SIGNED_CERT_IN_CHAIN`. */
  readonly distrusted: string | undefined
  /** PEM. */
  readonly certificate: string
}

const MOST_BYTES = 64 << 10

/**
 * One GET that looks at a server without trusting it: it is asked also where its certificate is not believed, and nothing secret is sent. Of an answer at most
 * 64 KiB are read. @throws the system's or OpenSSL's error.
 */
export function askPeer({ address, port, path, tls, signal }: PeerQuestion): Promise<PeerReply> {
  const common = { host: address, port, path, signal, agent: false, headers: { accept: 'application/json' } }
  return new Promise((resolve, reject) => {
    const receive = (response: http.IncomingMessage) => void readReply(response).then(resolve, reject)
    const request = tls
      ? https.get(
          {
            ...common,
            ca: [...tls.ca],
            cert: tls.cert,
            key: tls.key,
            passphrase: tls.keyPassword,
            rejectUnauthorized: false, // whether it can be trusted is what is looked at
            checkServerIdentity: () => undefined, // for which names it is, the certificate says
            servername: '',
          },
          receive,
        )
      : http.get(common, receive)
    request.on('error', reject)
  })
}

async function readReply(response: http.IncomingMessage): Promise<PeerReply> {
  const seen = serverOf(response.socket as TLSSocket)
  const pieces: Buffer[] = []
  let size = 0
  for await (const piece of response as AsyncIterable<Buffer>) {
    pieces.push(piece)
    size += piece.length
    if (size > MOST_BYTES) break
  }
  const date = Date.parse(response.headers.date ?? '')
  return {
    status: response.statusCode ?? 0,
    date: Number.isNaN(date) ? undefined : date,
    body: Buffer.concat(pieces).subarray(0, MOST_BYTES).toString('utf8'),
    tls: seen,
  }
}

function serverOf(socket: TLSSocket): SeenServer | null {
  if (!socket.encrypted) return null
  const distrusted = socket.authorized
    ? undefined
    : String((socket.authorizationError as unknown as { code?: string })?.code ?? socket.authorizationError)
  return { distrusted, certificate: toPem(socket.getPeerX509Certificate()?.raw ?? Buffer.alloc(0)) }
}
