import fs from 'node:fs/promises'
import path from 'node:path'
import { API_VERSIONS } from '../../core/api/versions.ts'
import { createKeyedLock } from '../../core/concurrency/keyed-lock.ts'
import { type RateLimit, RateLimiter } from '../../core/concurrency/rate-limiter.ts'
import { type Clock, systemClock } from '../../io/clock.ts'
import { databasePlace, markPlace } from '../../io/db/open-database.ts'
import { openRegistrarDatabase } from '../../io/db/registrar-database.ts'
import { registrarStore } from '../../io/db/registrar-store.ts'
import { seamOf } from '../../io/db/seam.ts'
import { tryWriting } from '../../io/db/try-writing.ts'
import { readCertificateStore } from '../../io/files/certificate-store.ts'
import { serve } from '../../io/http/server.ts'
import type { Logger } from '../../io/log/logger.ts'
import { keepCertificates } from '../../io/service/certificate-upkeep.ts'
import type { RegistrarContext } from './api/registrar-context.ts'
import { registrarRoutes } from './api/routes.ts'
import { heedAge } from './heed-age.ts'
import { openRegistrarMetrics, type RegistrarMetrics } from './registrar-metrics.ts'
import type { RegistrarSettings } from './registrar-settings.ts'
import { registrarTls, renewOwn } from './tls-identity.ts'

/** Requests that run have two seconds, and what is still to be stored then the rest: a database server that answers no more keeps no service from stopping. */
const LEAVE_MS = 7000
const TOLD_WRONG_ANSWERS: RateLimit = { ofPeer: { perSecond: 0.1, burst: 5 }, ofAll: { perSecond: 1, burst: 50 } }

export interface RunningRegistrar {
  port: number
  tlsPort: number
  /** Of the listener for figures; null where there is none. */
  metricsPort: number | null
  stop(): Promise<void>
  reload(): Promise<string>
}

export interface RegistrarDependencies {
  /** What tells the dates of certificates. */
  clock?: Pick<Clock, 'now'>
  /** Between two looks at the files of certificates. */
  lookMs?: number
}

/** Starts the registrar: plain HTTP for agents, mutual TLS for everybody else. Serves when it returns. */
export async function startRegistrar(
  settings: RegistrarSettings,
  logger: Logger,
  given: RegistrarDependencies = {},
): Promise<RunningRegistrar> {
  const used = { clock: systemClock, ...given, logger }
  const { values, warnings, keylimeDir } = settings
  for (const warning of warnings) logger.warn(warning)
  let tls = await registrarTls(settings, used)
  const file = path.join(keylimeDir, 'reg_data.sqlite')
  const place = databasePlace(values, file)
  const opened = await openRegistrarDatabase(place, markPlace(place, file))
  const { database } = opened
  const marking = await heedAge(opened, logger)
  const store = registrarStore(database)
  let makers = await makerCertificates(settings, logger)
  const context: RegistrarContext = {
    store,
    clock: systemClock,
    logger,
    rules: {
      identity: values.tpm_identity,
      malformed: values.malformed_cert_action,
      sameTpm: values.same_tpm_under_other_ids,
      unknownTpm: values.unknown_tpm,
    },
    makerCertificates: () => makers,
    agentLock: createKeyedLock(),
    wrongAnswers: new RateLimiter(TOLD_WRONG_ANSWERS),
  }
  let metrics: RegistrarMetrics | undefined
  try {
    const load = () => seamOf(database).load()
    const probe = { isServer: load() !== null, tryWriting: () => tryWriting(database) }
    metrics = await openRegistrarMetrics(values, { now: used.clock.now, database: load, probe }, logger)
    const routes = metrics.metered(marking.marked(registrarRoutes({ ...context, store: metrics.timed(store) })))
    const shared = { host: values.ip, routes, versions: API_VERSIONS, logger }
    const plain = await serve({ ...shared, port: values.port })
    const secure = await serve({ ...shared, port: values.tls_port, tls: tls.server }).catch(async (error) => {
      await plain.close(0)
      throw error
    })
    logger.info(`registrar serves on ${values.ip}: ${plain.port} for agents, ${secure.port} (TLS) for tenant and verifier`)
    const reload = async () => {
      const fresh = await registrarTls(settings, used)
      secure.renewTls(fresh.server)
      tls = fresh
      makers = await makerCertificates(settings, logger)
      return 'certificates, trusted CAs, revocation lists and certificates of TPM makers are read again'
    }
    const duties = { renew: () => renewOwn(settings, used), files: () => tls.files, reload, dates: () => tls.dates() }
    const upkeep = keepCertificates(duties, used)
    const { port: metricsPort, ready, stop: stopMetrics } = metrics
    ready(() => tls.ends)
    return {
      port: plain.port,
      tlsPort: secure.port,
      metricsPort,
      reload: upkeep.reload,
      async stop() {
        seamOf(database).leaveWithin(LEAVE_MS)
        ready(undefined)
        upkeep.stop()
        await Promise.all([plain.close(), secure.close()])
        await stopMetrics()
        await marking.stop()
        await opened.close()
      },
    }
  } catch (error) {
    await metrics?.stop()
    await marking.stop()
    await opened.close()
    throw error
  }
}

async function makerCertificates({ keylimeDir, makerStore }: RegistrarSettings, logger: Logger) {
  if (!path.isAbsolute(makerStore)) await fs.mkdir(path.resolve(keylimeDir, makerStore), { recursive: true, mode: 0o755 })
  const { certificates, problems } = await readCertificateStore(path.resolve(keylimeDir, makerStore))
  for (const problem of problems) logger.warn(problem)
  return certificates
}
