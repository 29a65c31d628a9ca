import type { Socket } from 'node:net'
import { TLSSocket } from 'node:tls'
import { parseCertificate } from '../../core/pki/certificate.ts'
import { roleOf } from '../../core/pki/roles.ts'
import { systemClock } from '../clock.ts'
import type { Peer } from './route.ts'
import { untrustedText } from './untrusted-text.ts'

const ANONYMOUS: Peer = { kind: 'anonymous' }

/** Who is at the other end of a connection. @param whyRefused why who shows a certificate of a trusted CA is no client all the same; undefined when he is one. */
export function peerOf(socket: Socket, whyRefused: (socket: TLSSocket) => string | undefined): Peer {
  if (!(socket instanceof TLSSocket)) return ANONYMOUS
  const shown = shownBy(socket)
  if (!shown) return ANONYMOUS
  if (!socket.authorized) return { kind: 'untrusted', why: untrustedText(socket, systemClock.now()) }
  const { certificate, ...named } = shown
  const why = whyRefused(socket)
  return why === undefined ? { kind: 'certificate', ...shown } : { kind: 'refused', why, ...named }
}

interface Shown {
  commonName: string
  sha256: string
  certificate: Buffer
}

const certificates = new WeakMap<TLSSocket, Shown | null>()

/** Null for no certificate. A connection shows the same one as long as it lives: the server refuses to negotiate again. */
function shownBy(socket: TLSSocket): Shown | null {
  const known = certificates.get(socket)
  if (known !== undefined) return known
  const certificate = socket.getPeerX509Certificate()
  const shown = certificate
    ? {
        commonName: /(?:^|\n)CN=([^\n]*)/.exec(certificate.subject)?.[1] ?? '',
        sha256: certificate.fingerprint256.replaceAll(':', '').toLowerCase(),
        certificate: certificate.raw,
      }
    : null
  certificates.set(socket, shown)
  return shown
}

export const isVerifier = (peer: Peer): peer is Peer & { kind: 'certificate' } =>
  peer.kind === 'certificate' && peer.certificate !== undefined && isOfVerifier(peer.certificate)

/** By the bytes that a connection has shown: to read a certificate costs more than most requests. */
const ofVerifiers = new WeakMap<Buffer, boolean>()

function isOfVerifier(certificate: Buffer): boolean {
  const known = ofVerifiers.get(certificate) ?? roleOf(parseCertificate(certificate)) === 'verifier'
  ofVerifiers.set(certificate, known)
  return known
}
