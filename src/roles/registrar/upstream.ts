import { createLogger } from '../../io/log/logger.ts'
import { runService } from '../../io/service/run-service.ts'
import { loadRegistrarSettings } from './registrar-settings.ts'
import { startRegistrar } from './start.ts'

/** `keylime_registrar`: no options (policies E.2). */
export function runUpstream(): Promise<number> {
  const logger = createLogger({ name: 'registrar' })
  logger.info('Starting Keylime registrar...')
  return runService(logger, () => startRegistrar(loadRegistrarSettings(process.env), logger))
}
