import { causeChain } from '../../core/errors.ts'
import type { Logger } from '../log/logger.ts'
import { nativeAddon } from '../native/native-addon.ts'
import { outliveReader } from '../terminal/output-failure.ts'
import { giveBack } from './give-back.ts'
import { createNotifier } from './notify.ts'

/** What runs until it is told to stop. */
export interface Service {
  stop(): Promise<void>
  /** SIGHUP: reads its certificates again. @returns what was read, in words. @throws KeylimeError when they cannot be used: those before stay. */
  reload?(): Promise<string>
  /** What its work hangs on, in words; null while it goes on. Looked at for each heartbeat of systemd's watchdog. */
  stuck?(): string | null
  /** False while it has work for which a tenth of a second is late. */
  isIdle?(): boolean
}

/** After the start: what only the start reads is half of what a role has in memory. */
const SETTLED_MS = 5000

/**
 * Runs a service until SIGTERM or SIGINT: `READY=1` goes to systemd when `start` has returned, so when it really serves. The end of whoever reads its log is
 * not its own. SIGHUP has certificates read again, and says what came of it. A service whose work hangs gets no heartbeat: systemd starts it again.
 */
export async function runService(logger: Logger, start: () => Promise<Service>): Promise<number> {
  outliveReader()
  nativeAddon().returnFreedMemory() // few arenas from the start: threads of the start would leave theirs behind
  const notifier = createNotifier(process.env)
  const stopped = new Promise<NodeJS.Signals>((resolve) => {
    process.once('SIGTERM', resolve)
    process.once('SIGINT', resolve)
  })
  let running: Service | null = null
  process.on('SIGHUP', () => void reload(running, logger))
  running = await Promise.race([start(), stopped.then(() => null)])
  if (!running) {
    logger.info('stopped before it served')
    process.exit(0) // a start that waits (for a registrar, a TPM) must not hold the service manager up
  }
  notifier.ready(undefined, heartbeat(running, logger))
  const settled = running
  setTimeout(() => giveBack(settled.isIdle?.() ?? true), SETTLED_MS).unref()
  const signal = await stopped
  logger.info(`stopping on ${signal}`)
  notifier.stopping()
  await running.stop()
  return 0
}

/** Whether its work goes on; says once when it does not. */
function heartbeat(service: Service, logger: Logger): () => boolean {
  let told: string | null = null
  return () => {
    const stuck = service.stuck?.() ?? null
    if (stuck !== null && told === null) logger.error(`no heartbeat for systemd's watchdog: ${stuck}`)
    told = stuck
    return stuck === null
  }
}

async function reload(service: Service | null, logger: Logger): Promise<void> {
  if (!service?.reload) return logger.info('SIGHUP: nothing is to be read again')
  try {
    logger.info(`SIGHUP: ${await service.reload()}`)
  } catch (error) {
    logger.error(`SIGHUP: the certificates cannot be read again, those before stay: ${causeChain(error).join(': ')}`)
  }
}
