import fs from 'node:fs'
import { createLogger } from '../../../io/log/logger.ts'
import { runService } from '../../../io/service/run-service.ts'
import type { OpenedCa } from '../open-ca.ts'
import { startListener } from './start.ts'

/** `-d listen` without a command is the word, as upstream's documents write it, unless there is a directory of that name. */
export const isWordListen = (directory: string | undefined): boolean => directory === 'listen' && !fs.existsSync('listen')

/** Runs the listener as a service, until SIGTERM. The password is asked for before, while there is a terminal. */
export async function runListener(ca: OpenedCa, { notifier, json }: { notifier: string | undefined; json: boolean }): Promise<number> {
  const logger = createLogger({ name: 'ca', format: json ? 'json' : 'text' })
  for (const warning of ca.config.warnings) logger.warn(warning)
  const access = await ca.access()
  return runService(logger, () => startListener({ access, config: ca.config, notifier, logger }))
}
