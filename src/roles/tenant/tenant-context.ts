import { readHost } from '../../core/api/host.ts'
import { urlHostPort } from '../../core/api/host-port.ts'
import { createSerialQueue, type SerialQueue } from '../../core/concurrency/serial-queue.ts'
import { KeylimeError } from '../../core/errors.ts'
import type { Clock } from '../../io/clock.ts'
import { identityDates } from '../../io/files/identity-dates.ts'
import { clientRequest, loadTlsIdentity, type TlsIdentity, tlsDirectory } from '../../io/files/tls-identity.ts'
import { type AnswerLimits, type ApiClient, LARGE_ANSWERS, openApiClient } from '../../io/http/api-client.ts'
import type { Report } from './events.ts'
import { RegistrarService } from './services/registrar-service.ts'
import type { ServerAddress } from './services/server-address.ts'
import { VerifierService } from './services/verifier-service.ts'
import type { TenantOptions } from './tenant-options.ts'
import type { TenantSettings } from './tenant-settings.ts'

/** What every command of the tenant works with; made once by `start.ts`, closed when the command is over. */
export interface TenantContext extends ContextParts {
  /** The tenant's own key and certificate. */
  readonly identity: TlsIdentity
  /** Files with the CAs of verifier and registrar. */
  readonly trustedServers: readonly string[]
  /** Passwords of authorities that were asked for, by directory. */
  readonly caPasswords: Map<string, Promise<string>>
  /** Authorities are worked with one machine after another. */
  readonly authorityQueue: SerialQueue
  readonly registrar: RegistrarService
  readonly verifier: VerifierService
  /** A client for one agent. @param pin its certificate, PEM; null for plain HTTP. @param patienceSeconds for each request; default: `request_timeout`. */
  openAgent(host: string, port: number, pin: string | null, patienceSeconds?: number): ApiClient
  close(): Promise<void>
}

export interface ContextParts extends TenantSettings {
  readonly options: TenantOptions
  readonly clock: Clock
  readonly report: Report
}

/** Opens the clients; nothing is connected before the first request. @throws KeylimeError `config_invalid` when key, certificate or CA are not there. */
export async function openTenantContext(parts: ContextParts): Promise<TenantContext> {
  const { config } = parts
  const options = {
    ...parts.options,
    targetHost: hostOf(parts.options.targetHost, '--targethost'),
    cvTargetHost: hostOf(parts.options.cvTargetHost, '--cv_targethost'),
  }
  const identity = await clientIdentity(parts)
  refuseEnded(identity, parts.clock.now())
  const timeoutSeconds = options.hurried ? Math.min(options.timeoutSeconds, config.request_timeout) : config.request_timeout
  const registrarAddress = {
    host: hostOf(options.registrarHost, '--registrarhost') || config.registrar_ip,
    port: options.registrarPort ?? config.registrar_port,
  }
  const verifierAddress = {
    host: hostOf(options.verifierHost, '--cv') || config.verifier_ip,
    port: options.verifierPort ?? config.verifier_port,
  }
  const server = (name: string, { host, port }: ServerAddress, answers: AnswerLimits) =>
    openApiClient({ name, ...place('https', host, port), tls: identity, timeoutSeconds, answers })
  const registrar = new RegistrarService(server('registrar', registrarAddress, LISTS_OF_IDS), registrarAddress)
  const verifier = new VerifierService(server('verifier', verifierAddress, LARGE_ANSWERS), verifierAddress)
  const agents: ApiClient[] = []
  return {
    ...parts,
    options,
    caPasswords: new Map(),
    authorityQueue: createSerialQueue(),
    identity,
    trustedServers: identity.trusted.map(({ file }) => file),
    registrar,
    verifier,
    openAgent(host, port, pin, patienceSeconds = timeoutSeconds) {
      const client = openApiClient({
        name: 'agent',
        ...place(pin === null ? 'http' : 'https', host, port),
        ...agentTls(identity, pin),
        timeoutSeconds: Math.min(patienceSeconds, timeoutSeconds),
      })
      agents.push(client)
      return client
    },
    async close() {
      await Promise.all([registrar.close(), verifier.close(), ...agents.map((agent) => agent.close())])
    },
  }
}

/** The tenant's own certificate. @throws KeylimeError `config_invalid` when key, certificate or CA are not there, or do not fit. */
export const clientIdentity = ({ config, keylimeDir }: Pick<TenantSettings, 'config' | 'keylimeDir'>): Promise<TlsIdentity> =>
  loadTlsIdentity(clientRequest(config, { keylimeDir, directory: clientDirectory(config.tls_dir, keylimeDir) }))

/** Servers would only end the connection. */
function refuseEnded(identity: TlsIdentity, now: number): void {
  const ended = identityDates(identity, 'client', now).filter(({ level }) => level === 'error')
  const [first] = ended
  if (!first) return
  const isOfAuthority = ended.some(({ file }) => file !== identity.certFile)
  throw new KeylimeError('tls_failed', ended.map(({ text }) => text).join('; '), {
    hint: isOfAuthority
      ? 'on the verifier’s host, make the next authority with `keylime ca rotate`; if it was already made, copy its cacert.crt and client certificate; or correct the clock'
      : 'make another one (`keylime ca operator NAME` on the verifier’s host), or correct the clock',
  })
}

/** Of the registrar: one record, or the ids of 400,000 agents. */
const LISTS_OF_IDS: AnswerLimits = { maxBytes: 16 << 20, json: { maxDepth: 8, maxValues: 500_000 } }

function clientDirectory(tlsDir: string, keylimeDir: string): string {
  if (tlsDir === 'generate') {
    throw new KeylimeError('config_invalid', 'tls_dir = generate is not for the tenant: its certificate comes from the verifier', {
      hint: 'set tls_dir = default in tenant.conf',
    })
  }
  return tlsDirectory(tlsDir, keylimeDir, 'tenant')
}

function agentTls(identity: TlsIdentity, pin: string | null) {
  if (pin === null) return {}
  const { cert, key, keyPassword } = identity
  return { tls: { cert, key, pin, ...(keyPassword ? { keyPassword } : {}) } }
}

const place = (scheme: 'http' | 'https', host: string, port: number) => ({ url: `${scheme}://${urlHostPort(host, port)}`, host })

/** An address of the command line. @throws KeylimeError `usage`. */
function hostOf(text: string | undefined, option: string): string {
  if (!text) return ''
  const reading = readHost(text)
  if ('host' in reading) return reading.host
  throw new KeylimeError('usage', `${option} ${JSON.stringify(text)}: it ${reading.defect}`, {
    hint: 'give a host name or an IP address alone, such as 10.0.0.7, fd00::7 or web1.example.org',
  })
}
