import { X509Certificate } from 'node:crypto'
import net from 'node:net'
import { serverVersion } from '../../../core/api/server-version.ts'
import { API_VERSIONS, negotiateVersion } from '../../../core/api/versions.ts'
import { parseCertificate } from '../../../core/pki/certificate.ts'
import { dateProblem } from '../../../core/pki/certificate-dates.ts'
import type { PeerReply, SeenServer } from '../../../io/http/ask-peer.ts'
import { type Finding, findingsOf } from '../finding.ts'
import type { Peer } from '../whereabouts.ts'

const { ok, note, warning, error } = findingsOf('peers')

export interface SeenPeer {
  readonly peer: Peer
  /** What its name means here; none when nobody knows it, null when the name server gives no answer. */
  readonly addresses: readonly string[] | null
  /** Milliseconds since the epoch, by this machine's clock: before and after the question. */
  readonly asked: number
  readonly answered: number
  /** Null without an address. */
  readonly reply: PeerReply | { readonly failed: string } | null
  /** Whether it let the certificate of this side call; undefined where that was not tried. */
  readonly taken: boolean | undefined
}

/** @param role who calls. */
export function judgePeer(role: string, seen: SeenPeer): Finding[] {
  const { peer, reply } = seen
  const correct = `keylime config set ${role} ${peer.option} ${peer.option.endsWith('_url') ? 'URL' : 'ADDRESS'}`
  if (seen.addresses === null)
    return [error(`no name server answers for ${peer.host}`, 'this machine cannot resolve names', 'resolvectl status')]
  if (reply === null)
    return [
      error(
        `no name server knows the name ${peer.host} of the ${peer.name}`,
        `the ${role} cannot find it: correct ${peer.option}, DNS or /etc/hosts`,
        correct,
      ),
    ]
  if ('failed' in reply) {
    const failed = `${placeOf(seen)}: ${failureText(reply.failed)}`
    if (role !== 'agent' && reply.failed === 'ECONNREFUSED' && isHere(seen))
      return [error(failed, `start it on this host, or say in ${peer.option} where it runs`, 'systemctl start keylime-verifier')]
    return [error(failed, `the ${role} cannot reach it`, correct)]
  }
  const found = [...judgeTrust(role, seen, reply.tls), ...judgeVersion(seen, reply), ...judgeClock(seen, reply.date)]
  if (found.some(({ level }) => level === 'error')) return found
  const versions = versionsOf(reply)?.join(', ')
  return [ok(`${placeOf(seen)} answers${versions ? `, with API ${versions}` : ''}`, `the ${role} can reach it`), ...found]
}

/** A loopback address is the default: on an operator's host the service is meant to run beside. */
const isHere = ({ addresses }: SeenPeer): boolean => addresses?.some((address) => /^(127\.|::1$)/.test(address)) ?? false

function placeOf({ peer, addresses }: SeenPeer): string {
  const host = peer.host.includes(':') ? `[${peer.host}]` : peer.host
  return `${peer.name} at ${host}:${peer.port}${addresses?.[0] === peer.host ? '' : ` (${addresses?.join(', ')})`}`
}

const FAILURES: Readonly<Record<string, string>> = {
  ECONNREFUSED: 'nobody listens there: it does not run, or has another port',
  ECONNRESET: 'it closes the connection: perhaps it expects TLS, or does not',
  ETIMEDOUT: 'there is no answer: a firewall drops the packets, or the server hangs',
  EHOSTUNREACH: 'there is no route to this address',
  ENETUNREACH: 'there is no route to this network',
  HPE_INVALID_CONSTANT: 'what answers is not an HTTP server: perhaps it expects TLS',
  ERR_SSL_WRONG_VERSION_NUMBER: 'what answers does not speak TLS',
  EPROTO: 'what answers does not speak TLS as it should',
}

const failureText = (code: string): string => (FAILURES[code] ? `${FAILURES[code]} (${code})` : code)

function judgeTrust(role: string, seen: SeenPeer, server: SeenServer | null): Finding[] {
  const { peer, asked, taken } = seen
  if (!server || !peer.tls) return []
  const certificate = parseCertificate(server.certificate)
  const dates = dateProblem(certificate, asked)
  const who = `${placeOf(seen)} shows "${certificate.subject}" of "${certificate.issuer}"`
  if (dates?.level === 'error')
    return [
      error(
        `${who}, which ${dates.text}`,
        `the ${role} does not trust it`,
        `systemctl restart keylime-${peer.name} # there: it makes another`,
      ),
    ]
  const found = dates ? [warning(`${who}, which ${dates.text}`, `after that, the ${role} no longer trusts it`)] : []
  if (server.distrusted !== undefined)
    return [
      ...found,
      error(
        `${who}, and ${peer.tls.trusted.join(', ') || 'no CA'} does not vouch for it (${server.distrusted})`,
        `the ${role} does not trust it: it needs the CA certificate of that ${peer.name}, or another machine answers`,
        peer.tls.trusted[0] ? `scp ${peer.host}:/var/lib/keylime/cv_ca/cacert.crt ${peer.tls.trusted[0]}` : null,
      ),
    ]
  if (taken === false)
    found.push(
      error(
        `${placeOf(seen)} does not accept this side’s certificate`,
        `it is not from a CA that the ${peer.name} trusts, was revoked, or is not an operator's`,
        'keylime ca operator NAME # where the verifier runs',
      ),
    )
  return [...found, ...judgeName(role, seen, certificate.pem)]
}

function judgeName(role: string, seen: SeenPeer, pem: string): Finding[] {
  const { peer } = seen
  const x509 = new X509Certificate(pem)
  if (!peer.tls?.namesCount || (net.isIP(peer.host) ? x509.checkIP(peer.host) : x509.checkHost(peer.host)) !== undefined) return []
  return [
    error(
      `the certificate of ${placeOf(seen)} is for ${x509.subjectAltName ?? 'no name'}, not for ${peer.host}`,
      `the ${role} does not trust it under this name`,
      `keylime config set ${role} ${peer.option} URL`,
    ),
  ]
}

function judgeVersion(seen: SeenPeer, reply: PeerReply): Finding[] {
  const versions = versionsOf(reply)
  if (!versions)
    return [
      warning(
        `${placeOf(seen)} does not say its versions (HTTP status ${reply.status})`,
        `perhaps something other than a ${seen.peer.name} answers`,
      ),
    ]
  if (negotiateVersion(versions, API_VERSIONS) !== null) return []
  return [
    error(
      `${placeOf(seen)} speaks only API ${versions.join(', ')}`,
      `this program speaks ${API_VERSIONS.join(', ')}: one of the two is too old`,
    ),
  ]
}

function versionsOf({ body }: PeerReply): string[] | undefined {
  try {
    return serverVersion.safeParse(JSON.parse(body)?.results).data?.supported_versions
  } catch {
    return undefined
  }
}

/** A `Date` is of the second in which the answer was made: it is between a second before the question and the answer when both clocks agree. */
function judgeClock(seen: SeenPeer, date: number | undefined): Finding[] {
  if (date === undefined) return [note(`${placeOf(seen)} does not say what time it is`, 'the clocks cannot be compared')]
  const ahead = seen.asked - 1000 - date
  const behind = date - seen.answered
  const seconds = Math.round(Math.max(ahead, behind, 0) / 1000)
  if (seconds < 5) return []
  const text = `the clock of this machine is ${seconds} seconds ${ahead > 0 ? 'ahead of' : 'behind'} that of ${placeOf(seen)}`
  const means = 'certificates, sessions and signed orders count as too old or too new'
  return seconds < 60 ? [warning(text, means, 'timedatectl set-ntp true')] : [error(text, means, 'timedatectl set-ntp true')]
}
