import type { Logger } from '../log/logger.ts'
import { notifyReady, notifyStopping } from './notify.ts'

/** Runs a service until SIGTERM or SIGINT: `READY=1` goes to systemd when `start` has returned, so when it really serves. */
export async function runService(logger: Logger, start: () => Promise<{ stop(): Promise<void> }>): Promise<number> {
  const stopped = new Promise<NodeJS.Signals>((resolve) => {
    process.once('SIGTERM', resolve)
    process.once('SIGINT', resolve)
  })
  const service = await start()
  notifyReady()
  const signal = await stopped
  logger.info(`stopping on ${signal}`)
  notifyStopping()
  await service.stop()
  return 0
}
