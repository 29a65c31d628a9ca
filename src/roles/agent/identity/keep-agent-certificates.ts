import { causeChain } from '../../../core/errors.ts'
import { tellDates } from '../../../io/files/identity-dates.ts'
import type { Listening, ServerTls } from '../../../io/http/server.ts'
import { randomBytes } from '../../../io/random.ts'
import { type CertificateUpkeep, keepCertificates, type UpkeepOptions } from '../../../io/service/certificate-upkeep.ts'
import type { AgentSettings } from '../agent-settings.ts'
import type { OperatorTrust } from '../machine/operator-trust.ts'
import { readTrust, type Trust, type TrustTexts, trustDates, trustedFiles } from '../machine/trust.ts'
import { openServerCertificate, type ServerCertificate } from './server-certificate.ts'

const DAY_MS = 86_400_000

/** The agent's own certificate, and who may call it. */
export interface OwnTls extends ServerCertificate {
  readonly clients: NonNullable<Trust['clients']>
}

export const tlsOf = ({ certPem, keyPem, clients }: OwnTls): ServerTls => ({
  cert: certPem,
  key: keyPem,
  ca: clients.ca,
  clients: clients.check,
  requireCertificate: true,
})

export interface RunningTls {
  readonly agentId: string
  /** Null without TLS. */
  readonly certificate: ServerCertificate | null
  readonly server: Pick<Listening, 'renewTls'>
  /** Those whose operators may order deliveries. */
  readonly operators: OperatorTrust
  /** What the files of trusted CAs said at the start. */
  readonly texts: TrustTexts
  /** Tells the registrar of the certificate. @throws KeylimeError of the last attempt. */
  register(certificate: ServerCertificate, registrarCa: readonly string[]): Promise<void>
}

/** The agent's own certificate: made, made anew when it is due, or the operator's. */
export const ownCertificate = ({ values, paths, namesServerCert }: AgentSettings, agentId: string, { clock, logger }: UpkeepOptions) =>
  openServerCertificate({
    keyFile: paths.serverKey,
    certFile: paths.serverCert,
    isNamed: namesServerCert,
    password: values.server_key_password.reveal(),
    agentId,
    contactIp: values.contact_ip,
    now: clock.now(),
    serial: randomBytes(16),
    logger,
  })

/**
 * Keeps a running agent's certificate and those that it believes. A certificate that is another is shown at once, and registered: verifiers of ours know its
 * key, so nobody has to wait for that. What the registrar does not take is tried again each hour.
 */
export function keepAgentCertificates(settings: AgentSettings, used: UpkeepOptions, running: RunningTls): CertificateUpkeep {
  const { logger, clock } = used
  const { paths } = settings
  const { texts } = running
  let current = running.certificate
  let registered = running.certificate?.certPem
  let registering = false
  let lookedAt = clock.now()

  async function register(): Promise<void> {
    const shown = current
    if (!shown || registering || shown.certPem === registered) return
    registering = true
    try {
      await running.register(shown, readTrust(settings, logger, texts).registrar)
      registered = shown.certPem
    } catch (error) {
      logger.error(`the new certificate is not registered yet: ${causeChain(error).join(': ')}`)
    } finally {
      registering = false
    }
  }

  async function reload(): Promise<string> {
    const { clients } = readTrust(settings, logger, texts)
    if (!current || !clients) return 'without TLS there is nothing to read again'
    current = await ownCertificate(settings, running.agentId, used)
    running.server.renewTls(tlsOf({ ...current, clients }))
    running.operators.renew(clients.check)
    const isAnother = current.certPem !== registered
    void register()
    return `the CAs of clients, and their revocation lists, are read again${isAnother ? '; another certificate is shown, and registered' : ''}`
  }

  async function renew(): Promise<void> {
    if (!current) return
    const now = clock.now()
    if (now - lookedAt < DAY_MS && now >= lookedAt) return register()
    lookedAt = now
    try {
      await ownCertificate(settings, running.agentId, used) // another file, which is seen and taken
    } catch (error) {
      logger.error(`the certificate of this agent cannot be used any more: ${causeChain(error).join(': ')}`)
    }
    await register()
  }

  const files = () => [
    ...new Set([...trustedFiles(settings).map(({ file }) => file), ...(current ? [paths.serverCert, paths.serverKey] : [])]),
  ]
  tellDates(trustDates(settings, clock.now(), texts), logger)
  return keepCertificates({ renew, files, reload, dates: () => trustDates(settings, clock.now(), texts) }, used)
}
