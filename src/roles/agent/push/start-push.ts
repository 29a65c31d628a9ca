import { setTimeout as sleep } from 'node:timers/promises'
import type { PushPace } from '../../../core/attestation/push-course.ts'
import { isKeylimeError } from '../../../core/errors.ts'
import { keyHash } from '../../../core/pki/key-hash.ts'
import type { Certificate } from '../../../core/pki/types.ts'
import { systemClock } from '../../../io/clock.ts'
import { tellDates } from '../../../io/files/identity-dates.ts'
import { openVerifierClient, type VerifierClientOptions } from '../../../io/http/verifier-client.ts'
import type { Logger } from '../../../io/log/logger.ts'
import { type CertificateUpkeep, keepCertificates, type UpkeepOptions } from '../../../io/service/certificate-upkeep.ts'
import type { AgentSettings } from '../agent-settings.ts'
import { withoutDropped } from '../authorities/followed-authorities.ts'
import { authorityFollower } from '../identity/authority-follower.ts'
import type { AgentIdentity } from '../identity/open-identity.ts'
import type { TransportKey } from '../identity/transport-key.ts'
import type { Machine } from '../machine/prepare-machine.ts'
import { readTrust, type Trust, trustDates, trustedFiles } from '../machine/trust.ts'
import type { PayloadReceiver } from '../payload/payload-receiver.ts'
import type { PushSettings } from '../push-settings.ts'
import { registerAtRegistrar } from '../registration/register-at-registrar.ts'
import type { RevocationInbox } from '../revocation/revocation-inbox.ts'
import { NewsFetcher } from './fetch-news.ts'
import { HeardAuthorities } from './heard-authorities.ts'
import { NewsPause } from './news-pause.ts'
import { openChangeWatch } from './open-change-watch.ts'
import { openPushDelivery } from './open-push-delivery.ts'
import { provableFacts } from './provable-facts.ts'
import { PushLoop } from './push-loop.ts'
import { PushReporter } from './push-news.ts'
import { PushVerifier } from './push-verifier.ts'

export interface PushStart {
  readonly settings: AgentSettings
  readonly push: PushSettings
  readonly machine: Machine
  readonly identity: AgentIdentity
  readonly transport: TransportKey
  readonly payloads: PayloadReceiver
  readonly inbox: RevocationInbox
  readonly used: UpkeepOptions
  onStop(end: () => unknown): void
}

/** A body of a hundred megabytes on a slow line: upstream’s largest. */
const WHOLE_MS = 600_000

/** A TPM that does not answer must not keep the agent from ending. */
const STOP_PATIENCE_MS = 2000

/** Registers, then brings evidence until it is stopped. @throws KeylimeError `refused` when the registrar forbids the registration; it waits for one that cannot be reached. */
export async function startPush(start: PushStart): Promise<Pick<CertificateUpkeep, 'reload'> & Pick<PushLoop, 'stuck'>> {
  const { settings, push, machine, identity, transport, payloads, used, onStop } = start
  const { logger } = used
  warnOfInsecurity(settings, logger)
  await registerForEver(start)
  const { imaLog, bootLog, systemdLog, trust } = machine
  const facts = await provableFacts({ settings, keys: identity.keys, imaLog, bootLog, logger })
  const reached = () => verifierOf(start, readTrust(settings, logger, trust.texts).verifier)
  const connect = () => new PushVerifier(openVerifierClient(reached()), identity.agentId)
  const hurry = () => loop.hurry('a delivery has come further')
  const taking = openPushDelivery({ settings, identity, transport, payloads, trust, logger, reached, hurry })
  const { delivery } = taking
  onStop(() => delivery.stop())
  const sources = { keys: identity.keys, transportKeyPem: transport.publicPem, imaLog, bootLog, systemdLog }
  const reporter = new PushReporter(logger, systemClock)
  let believed = trust
  const authorities = heardAuthorities(start, { believed: () => believed, reload: async () => void (await reload()) })
  const fetcher = new NewsFetcher(start.inbox, authorities, logger)
  const news = new NewsPause({ fetch: (waiting) => fetcher.fetch(waiting), clock: systemClock })
  const changed = (why: string) => loop.hurry(why)
  const watch = await openChangeWatch({ settings, keys: identity.keys, mark: machine.imaMark, logger, changed })
  const loop = new PushLoop({
    agentId: identity.agentId,
    sources,
    facts,
    pace: paceOf(settings),
    reporter,
    delivery,
    news,
    watch,
    logger,
    connect,
  })
  watch?.start()
  onStop(() => watch?.stop())
  onStop(() => Promise.race([loop.stop(), sleep(STOP_PATIENCE_MS, undefined, { ref: false })]))
  logger.info(`agent ${identity.agentId} brings its evidence to ${push.verifierUrl}, and does not listen`)
  const dates = () => trustDates(settings, used.clock.now(), trust.texts)
  const reload = async () => {
    believed = readTrust(settings, logger, trust.texts)
    taking.trust(believed)
    loop.reconnect()
    return 'the CAs of verifier, registrar and operators are read again'
  }
  tellDates(dates(), logger)
  const upkeep = keepCertificates({ files: () => trustedFiles(settings).map(({ file }) => file), reload, dates }, used)
  onStop(() => upkeep.stop())
  return { reload: upkeep.reload, stuck: () => loop.stuck() }
}

const verifierOf = ({ settings: { values }, push }: PushStart, ca: readonly string[]): VerifierClientOptions => ({
  url: push.verifierUrl,
  ca,
  acceptAnyCertificate: values.tls_accept_invalid_certs,
  acceptAnyName: values.tls_accept_invalid_hostnames,
  timeoutMs: push.timeoutMs,
  wholeMs: WHOLE_MS,
  clock: systemClock,
})

interface Followed {
  /** Who is believed now. */
  believed(): Trust
  reload(): Promise<void>
}

/** Null where the configuration forbids to follow. */
function heardAuthorities(start: PushStart, { believed, reload }: Followed): HeardAuthorities | null {
  const { settings, machine, used } = start
  const { logger } = used
  const follow = authorityFollower({ settings, logger, texts: machine.trust.texts, reload })
  return (
    follow &&
    new HeardAuthorities({
      follow,
      believed: () => believed().operators?.trust().authorities ?? [],
      holdsWithout: (_left, over) => answersWithout(start, believed().verifier, over),
      logger,
    })
  )
}

/** Whether the verifier can be reached by who believes these CAs without those that are over, whatever insecure options say. */
async function answersWithout(start: PushStart, ca: readonly string[], over: readonly Certificate[]): Promise<boolean> {
  const dropped = over.map(keyHash)
  const left = ca.map((pem) => withoutDropped(pem, { dropped })).filter((pem) => pem !== '')
  const client = openVerifierClient({ ...verifierOf(start, left), acceptAnyCertificate: false })
  try {
    await client.request({ method: 'GET', path: '/version', contentType: 'application/json', maxBytes: VERSION_BYTES })
    return true
  } catch (error) {
    if (!isKeylimeError(error)) throw error
    return false
  } finally {
    await client.close()
  }
}

const VERSION_BYTES = 16 << 10

const paceOf = ({ values }: AgentSettings): PushPace => ({
  intervalMs: values.attestation_interval_seconds * 1000,
  initialDelayMs: values.exponential_backoff_initial_delay,
  maxRetries: values.exponential_backoff_max_retries,
  maxDelayMs: values.exponential_backoff_max_delay,
})

/** A laptop is often without its network: nothing but a refusal ends it. */
async function registerForEver({ settings, machine, identity, used: { logger } }: PushStart): Promise<void> {
  const pauseMs = Math.max(settings.values.attestation_interval_seconds * 1000, 500)
  for (;;) {
    try {
      const registrarCa = readTrust(settings, logger, machine.trust.texts).registrar
      return await registerAtRegistrar({ settings, identity, certificate: null, registrarCa }, logger)
    } catch (error) {
      if (!isKeylimeError(error) || error.code === 'refused') throw error
      logger.error(`not registered yet, again in ${pauseMs / 1000} s: ${error.message}`, error.hint ? { hint: error.hint } : {})
      await sleep(pauseMs)
    }
  }
}

function warnOfInsecurity({ values }: AgentSettings, logger: Logger): void {
  if (values.tls_accept_invalid_certs)
    logger.warn('INSECURE: the evidence goes to whatever answers at verifier_url (tls_accept_invalid_certs)')
  else if (values.tls_accept_invalid_hostnames)
    logger.warn('INSECURE: any server with a certificate of the verifier’s CA can pose as it (tls_accept_invalid_hostnames)')
}
