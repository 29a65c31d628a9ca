import type { Argv } from 'yargs'
import { showConfig } from '../../config/effective.ts'
import { withConfigFile } from '../../config/files.ts'
import { registrarOptions } from '../../config/registrar.ts'
import { createLogger } from '../../io/log/logger.ts'
import { runService } from '../../io/service/run-service.ts'
import { tellForeignDirectory } from '../../io/service/tell-foreign-directory.ts'
import { printLines } from '../../io/terminal/print.ts'
import { showCheck } from '../../io/terminal/show-check.ts'
import { checkRegistrarOf } from './check-registrar.ts'
import { addMigrateWord } from './migrate/migrate-words.ts'
import { loadRegistrarSettings } from './registrar-settings.ts'
import { startRegistrar } from './start.ts'

interface Arguments {
  config?: string | undefined
  checkConfig?: boolean | undefined
  showConfig?: boolean | undefined
  verbose?: boolean | undefined
  json?: boolean | undefined
}

/** `keylime registrar`. */
export const command = {
  builder: (yargs: Argv, choose: (run: () => Promise<number>) => void): Argv<Arguments> =>
    addMigrateWord(yargs, choose)
      .usage(
        'Binds ids of machines to their TPMs. "keylime verifier" already includes a registrar; run it separately in larger installations.\n\nUsage: keylime registrar [options] | keylime registrar migrate …',
      )
      .example('keylime registrar', 'with /etc/keylime/registrar.conf')
      .example('keylime registrar --check-config', 'only check whether the configuration can be used')
      .option('config', { type: 'string', describe: 'Configuration file instead of /etc/keylime/registrar.conf', requiresArg: true })
      .option('check-config', { type: 'boolean', describe: 'Check the configuration and exit' })
      .option('show-config', { type: 'boolean', describe: 'Show the value of each option and where it comes from, and exit' })
      .option('verbose', { alias: 'v', type: 'boolean', describe: 'Log more' })
      .option('json', { type: 'boolean', describe: 'Log one JSON object per line' }) as Argv<Arguments>,

  async run(argv: Arguments): Promise<number> {
    const env = withConfigFile(process.env, 'registrar', argv.config)
    if (argv.showConfig) return printLines(showConfig('registrar', registrarOptions, env, argv.json)) ?? 0
    if (argv.checkConfig) return showCheck('registrar', await checkRegistrarOf(env))
    const settings = loadRegistrarSettings(env)
    const logger = createLogger({ name: 'registrar', level: argv.verbose ? 'debug' : 'info', format: argv.json ? 'json' : 'text' })
    tellForeignDirectory(settings.keylimeDir, logger)
    return runService(logger, () => startRegistrar(settings, logger))
  },
}
