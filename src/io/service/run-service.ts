import { causeChain } from '../../core/errors.ts'
import type { Logger } from '../log/logger.ts'
import { outliveReader } from '../terminal/output-failure.ts'
import { createNotifier } from './notify.ts'

/** What runs until it is told to stop. */
export interface Service {
  stop(): Promise<void>
  /** SIGHUP: reads its certificates again. @returns what was read, in words. @throws KeylimeError when they cannot be used: those before stay. */
  reload?(): Promise<string>
}

/**
 * Runs a service until SIGTERM or SIGINT: `READY=1` goes to systemd when `start` has returned, so when it really serves. The end of whoever reads its log is
 * not its own. SIGHUP has certificates read again, and says what came of it.
 */
export async function runService(logger: Logger, start: () => Promise<Service>): Promise<number> {
  outliveReader()
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
  notifier.ready()
  const signal = await stopped
  logger.info(`stopping on ${signal}`)
  notifier.stopping()
  await running.stop()
  return 0
}

async function reload(service: Service | null, logger: Logger): Promise<void> {
  if (!service?.reload) return logger.info('SIGHUP: nothing is to be read again')
  try {
    logger.info(`SIGHUP: ${await service.reload()}`)
  } catch (error) {
    logger.error(`SIGHUP: the certificates cannot be read again, those before stay: ${causeChain(error).join(': ')}`)
  }
}
