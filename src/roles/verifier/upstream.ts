import { createLogger } from '../../io/log/logger.ts'
import { runService } from '../../io/service/run-service.ts'
import { startVerifier } from './start.ts'
import { loadVerifierSettings } from './verifier-settings.ts'

/** `keylime_verifier`: no options, and never a registrar inside (policies E.2). */
export function runUpstream(): Promise<number> {
  const logger = createLogger({ name: 'verifier' })
  return runService(logger, () => {
    const settings = loadVerifierSettings(process.env)
    logger.info(`Starting Keylime verifier in ${settings.values.mode === 'push' ? 'PUSH' : 'PULL'} mode...`)
    return startVerifier(settings, logger)
  })
}
