import type { Argv } from 'yargs'
import { agentOptions } from '../../config/agent.ts'
import { showConfig } from '../../config/effective.ts'
import { withConfigFile } from '../../config/files.ts'
import { createLogger } from '../../io/log/logger.ts'
import { runService } from '../../io/service/run-service.ts'
import { printLines } from '../../io/terminal/print.ts'
import { showCheck } from '../../io/terminal/show-check.ts'
import { loadAgentSettings } from './agent-settings.ts'
import { checkAgentOf } from './check-agent.ts'
import { tryAction } from './revocation/try-action.ts'
import { startAgent } from './start.ts'

interface Arguments {
  config?: string | undefined
  tcti?: string | undefined
  verifierUrl?: string | undefined
  checkConfig?: boolean | undefined
  showConfig?: boolean | undefined
  tryAction?: string | undefined
  event?: string | undefined
  verbose?: boolean | undefined
  json?: boolean | undefined
}

const EXAMPLE_EVENT =
  '{"type": "revocation", "agent_id": "another", "event_id": "ima.pcr_mismatch", "meta_data": "{\\"cert_serial\\": 2}", "metadata": {"cert_serial": 2}}'

/** `keylime agent`. */
export const command = {
  builder: (yargs: Argv): Argv<Arguments> =>
    yargs
      .usage(
        'Runs on each machine: registers its TPM, proves what the machine runs, takes payloads and runs revocation actions.\n\nUsage: keylime agent [options]',
      )
      .example('sudo keylime agent', 'with /etc/keylime/agent.conf and the TPM of this machine')
      .example('keylime agent --tcti swtpm:host=127.0.0.1,port=2321', 'with a software TPM')
      .example('keylime agent --verifier-url https://verifier.example.com:8881', 'behind NAT: listen nowhere, and bring the evidence')
      .example('keylime agent --try-action ./local_action_x.py', 'see what a revocation action does')
      .example('keylime agent --check-config', 'only check whether the configuration can be used')
      .option('config', { type: 'string', describe: 'Configuration file instead of /etc/keylime/agent.conf', requiresArg: true })
      .option('tcti', {
        type: 'string',
        describe: 'How to reach the TPM: device:PATH, swtpm:host=H,port=P or swtpm:path=SOCKET [default: $TCTI, /dev/tpmrm0, /dev/tpm0]',
        requiresArg: true,
      })
      .option('verifier-url', {
        type: 'string',
        describe: 'Bring evidence to this verifier and listen nowhere (mode = push) [option verifier_url]',
        requiresArg: true,
      })
      .option('try-action', {
        type: 'string',
        describe: 'Run one revocation action with an event, as the agent would, and exit',
        requiresArg: true,
      })
      .option('event', { type: 'string', describe: 'With --try-action: the event, JSON', requiresArg: true, default: EXAMPLE_EVENT })
      .option('check-config', { type: 'boolean', describe: 'Check the configuration and exit' })
      .option('show-config', { type: 'boolean', describe: 'Show the value of each option and where it comes from, and exit' })
      .option('verbose', { alias: 'v', type: 'boolean', describe: 'Log more' })
      .option('json', { type: 'boolean', describe: 'Log one JSON object per line' }) as Argv<Arguments>,

  async run(argv: Arguments): Promise<number> {
    const env = withConfigFile(process.env, 'agent', argv.config)
    const given = argv.verifierUrl ? { push: true } : {}
    const chosen = argv.verifierUrl ? { ...env, KEYLIME_AGENT_VERIFIER_URL: argv.verifierUrl } : env
    if (argv.showConfig) return printLines(showConfig('agent', agentOptions, chosen, argv.json)) ?? 0
    if (argv.checkConfig) return showCheck('agent', await checkAgentOf(chosen, given))
    const settings = loadAgentSettings(chosen, given)
    const logger = createLogger({ name: 'agent', level: argv.verbose ? 'debug' : 'info', format: argv.json ? 'json' : 'text' })
    if (argv.tryAction) return tryAction(argv.tryAction, argv.event ?? EXAMPLE_EVENT, settings, logger)
    return runService(logger, () => startAgent(settings, logger, { tcti: argv.tcti }))
  },
}
