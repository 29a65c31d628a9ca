import type { TLSSocket } from 'node:tls'
import { isKeylimeError, KeylimeError } from '../../core/errors.ts'
import type { AuthorizedClient } from '../../core/pki/authorized-clients.ts'
import { parseCertificate, parseCertificates } from '../../core/pki/certificate.ts'
import { type ClientTrust, isIssuedDirectly, judgeClient } from '../../core/pki/judge-client.ts'
import { givesRoles } from '../../core/pki/roles.ts'
import type { Certificate } from '../../core/pki/types.ts'
import { Problems } from '../../core/problems.ts'
import { openRevocationLists, type RevocationLists } from '../files/revocation-lists.ts'
import { revocationListFiles, type TlsIdentity } from '../files/tls-identity.ts'
import type { Logger } from '../log/logger.ts'

/** Who may be a client of a server with mutual TLS. */
export interface ClientCheck {
  /** Undefined for a client that may call, else why not, in words that are for him and for the log. */
  whyRefused(socket: TLSSocket): string | undefined
  /** Whether the chain of a client is judged here at each request. That of an authority in between only the TLS library has seen, in the handshake. */
  judgesChain(socket: TLSSocket): boolean
  readonly lists: RevocationLists
  /** What counts now, for certificates that come another way than by a connection. */
  trust(): ClientTrust
}

export interface ClientCheckOptions {
  /** PEM texts of the authorities, and the files that they are from (option `trusted_client_ca`). */
  readonly trusted: readonly { readonly file: string; readonly pem: string }[]
  /** Those whose lists are read, when they are more: of an authority that counts no more a list may lie there still. */
  readonly listsOf?: ClientCheckOptions['trusted']
  /** Option `trusted_client_crl`, absolute paths or `default`. */
  readonly revocationLists: readonly string[]
  /** Option `authorized_clients`. */
  readonly authorized: readonly AuthorizedClient[]
  /** Milliseconds since the epoch. */
  now(): number
  readonly logger: Logger
}

/**
 * Judges clients by certificate, revocation lists and `authorized_clients` at each request: an open connection ends to be good when its certificate is revoked
 * or ends. @throws KeylimeError `config_invalid` for certificates and lists that cannot be used.
 */
export function openClientCheck(options: ClientCheckOptions): ClientCheck {
  const problems = new Problems()
  const trusted = options.trusted.map(({ file, pem }) => ({
    file,
    certificates: problems.take(() => certificatesOf(file, pem)) ?? [],
  }))
  problems.refuse()
  const authorities = trusted.flatMap(({ certificates }) => certificates)
  const ofLists = (options.listsOf ?? options.trusted).map(({ file, pem }) => ({ file, certificates: certificatesOf(file, pem) }))
  const lists = openRevocationLists({ trusted: ofLists, files: options.revocationLists, now: options.now, logger: options.logger })
  const { authorized } = options
  const known = new WeakMap<TLSSocket, { lists: unknown; validUntil: number; why: string | undefined }>()
  return {
    lists,
    judgesChain(socket) {
      const shown = shownBy(socket)
      return shown === undefined || isIssuedDirectly(shown, authorities)
    },
    trust: () => ({ authorities, lists: lists.current(), authorized }),
    whyRefused(socket) {
      const now = options.now()
      const current = lists.current()
      const before = known.get(socket)
      if (before && before.lists === current && now <= before.validUntil) return before.why
      const verdict = judgeClient(shownBy(socket), { authorities, lists: current, authorized }, now)
      const why = verdict.ok ? undefined : verdict.reason
      known.set(socket, { lists: current, why, validUntil: verdict.ok ? verdict.validUntil : now + REFUSED_MS })
      return why
    },
  }
}

/** Who is refused asks again and again at the price of one look a second. */
const REFUSED_MS = 1000

/** The check of a server of `trusted_client_ca`, `trusted_client_crl` and `authorized_clients`. @param directory against which paths are relative. */
export function serverClients(
  { trusted }: Pick<TlsIdentity, 'trusted'>,
  options: { trusted_client_crl: readonly string[]; authorized_clients: readonly AuthorizedClient[] },
  directory: string,
  { now, logger }: Pick<ClientCheckOptions, 'now' | 'logger'>,
): ClientCheck {
  const authorized = options.authorized_clients
  for (const text of authoritiesWithoutRoles({ trusted, authorized })) logger.warn(text)
  return openClientCheck({ trusted, authorized, revocationLists: revocationListFiles(options.trusted_client_crl, directory), now, logger })
}

/** Why `authorized_clients = default` lets every certificate of an authority call, for each that gives no roles. */
function authoritiesWithoutRoles({ trusted, authorized }: Pick<ClientCheckOptions, 'trusted' | 'authorized'>): string[] {
  if (!authorized.some(({ kind }) => kind === 'default')) return []
  return trusted
    .filter(({ file, pem }) => certificatesOf(file, pem).some((authority) => !givesRoles(authority)))
    .map(
      ({ file }) =>
        `authorized_clients: ${file} gives no roles, so every certificate of it is an administrator's; name those who may call, ` +
        'or give it roles with `keylime ca reissue`',
    )
}

function certificatesOf(file: string, pem: string): Certificate[] {
  try {
    const certificates = parseCertificates(pem)
    if (certificates.length > 0) return certificates
  } catch (cause) {
    throw new KeylimeError('config_invalid', `trusted_client_ca: ${file} cannot be used: ${(cause as Error).message}`, { cause })
  }
  throw new KeylimeError('config_invalid', `trusted_client_ca: ${file} holds no certificate`)
}

/** What else the client sent is not known: Node shows it on the client's side alone. */
function shownBy(socket: TLSSocket): Certificate | undefined {
  try {
    const shown = socket.getPeerX509Certificate()
    return shown && parseCertificate(shown.raw)
  } catch (error) {
    if (isKeylimeError(error)) return undefined
    throw error
  }
}
