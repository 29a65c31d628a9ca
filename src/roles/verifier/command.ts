import type { Argv } from 'yargs'
import type { Findings } from '../../config/collect-findings.ts'
import { showConfig } from '../../config/effective.ts'
import { withConfigFile } from '../../config/files.ts'
import { verifierOptions } from '../../config/verifier.ts'
import { createLogger, type Logger } from '../../io/log/logger.ts'
import { runService, type Service } from '../../io/service/run-service.ts'
import { printLines } from '../../io/terminal/print.ts'
import { showCheck } from '../../io/terminal/show-check.ts'
import { addAuditWords, type Choose } from './audit/audit-words.ts'
import { addBackupWords } from './backup/backup-words.ts'
import { checkVerifierOf } from './check-verifier.ts'
import { addMigrateWord } from './migrate/migrate-words.ts'
import { startVerifier } from './start.ts'
import { loadVerifierSettings } from './verifier-settings.ts'

interface Arguments {
  config?: string | undefined
  checkConfig?: boolean | undefined
  showConfig?: boolean | undefined
  verbose?: boolean | undefined
  json?: boolean | undefined
}

interface Deps {
  checkRegistrar(env: NodeJS.ProcessEnv): Promise<Findings>
  startRegistrar(env: NodeJS.ProcessEnv, logger: Logger): Promise<Service & Required<Pick<Service, 'reload'>>>
}

/** `keylime verifier`. */
export const command = {
  builder: (yargs: Argv, choose: Choose): Argv<Arguments> =>
    addBackupWords(addMigrateWord(addAuditWords(yargs, choose), choose), choose)
      .usage(
        'Attests machines, releases payload keys to those that pass, and tells all others when one fails.\n\nUsage: keylime verifier [options] | keylime verifier audit WORD … | keylime verifier migrate | backup | restore …',
      )
      .example('keylime verifier', 'with /etc/keylime/verifier.conf, and with the registrar inside')
      .example('KEYLIME_DIR=/tmp/kl keylime verifier', 'keep everything in another directory')
      .example('keylime verifier --check-config', 'only check whether the configuration can be used')
      .example('keylime verifier audit verify', 'check that nobody changed the audit log; `audit show` prints it')
      .option('config', { type: 'string', describe: 'Configuration file instead of /etc/keylime/verifier.conf', requiresArg: true })
      .option('check-config', { type: 'boolean', describe: 'Check the configuration and exit' })
      .option('show-config', { type: 'boolean', describe: 'Show the value of each option and where it comes from, and exit' })
      .option('verbose', { alias: 'v', type: 'boolean', describe: 'Log more' })
      .option('json', { type: 'boolean', describe: 'Log one JSON object per line' }) as Argv<Arguments>,

  async run(argv: Arguments, { startRegistrar, checkRegistrar }: Deps): Promise<number> {
    const env = withConfigFile(process.env, 'verifier', argv.config)
    if (argv.showConfig) return printLines(showConfig('verifier', verifierOptions, env, argv.json)) ?? 0
    if (argv.checkConfig) return showCheck('verifier', await checkVerifierOf(env, checkRegistrar))
    const settings = loadVerifierSettings(env)
    const level = argv.verbose ? 'debug' : 'info'
    const format = argv.json ? 'json' : 'text'
    const logger = createLogger({ name: 'verifier', level, format })
    return runService(logger, async () => {
      const verifier = await startVerifier(settings, logger)
      if (!settings.values.host_registrar) return verifier
      const registrar = await startRegistrar(env, createLogger({ name: 'registrar', level, format })).catch(async (error) => {
        await verifier.stop()
        throw error
      })
      return {
        stop: async () => void (await Promise.all([verifier.stop(), registrar.stop()])),
        stuck: verifier.stuck,
        isIdle: verifier.isIdle,
        reload: async () => (await Promise.all([verifier.reload(), registrar.reload()]))[0],
      }
    })
  },
}
