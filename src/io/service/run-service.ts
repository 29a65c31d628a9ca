import type { Logger } from '../log/logger.ts'
import { createNotifier } from './notify.ts'

/** Runs a service until SIGTERM or SIGINT: `READY=1` goes to systemd when `start` has returned, so when it really serves. */
export async function runService(logger: Logger, start: () => Promise<{ stop(): Promise<void> }>): Promise<number> {
  const notifier = createNotifier(process.env)
  const stopped = new Promise<NodeJS.Signals>((resolve) => {
    process.once('SIGTERM', resolve)
    process.once('SIGINT', resolve)
  })
  const service = await Promise.race([start(), stopped.then(() => null)])
  if (!service) {
    logger.info('stopped before it served')
    process.exit(0) // a start that waits (for a registrar, a TPM) must not hold the service manager up
  }
  notifier.ready()
  const signal = await stopped
  logger.info(`stopping on ${signal}`)
  notifier.stopping()
  await service.stop()
  return 0
}
