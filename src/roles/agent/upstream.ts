import { nearestOption } from '../../core/cli/nearest-option.ts'
import { createLogger } from '../../io/log/logger.ts'
import { runService } from '../../io/service/run-service.ts'
import { noteLine, printOwn } from '../../io/terminal/print.ts'
import { loadAgentSettings } from './agent-settings.ts'
import { startAgent } from './start.ts'

const USAGE = `A program for attesting a machine with its TPM

Usage: keylime_agent

Options:
  -h, --help  Print help
`

/** `keylime_agent`: only `-h` and `--help`; everything else is in agent.conf and the environment (policies E.3). */
export async function runUpstream(args: string[]): Promise<number> {
  if (args.length > 0) {
    const wantsHelp = args.every((arg) => arg === '-h' || arg === '--help')
    if (wantsHelp) printOwn(USAGE)
    else {
      noteLine(`error: unexpected argument '${args[0]}' found`)
      const meant = nearestOption(args.find((arg) => arg !== '-h' && arg !== '--help') ?? '', ['--help'])
      if (meant) noteLine(`hint: ${meant}`)
      printOwn(`\n${USAGE}`, process.stderr)
    }
    return wantsHelp ? 0 : 2
  }
  const logger = createLogger({ name: 'agent', level: logLevel(process.env['RUST_LOG']) })
  return runService(logger, () => startAgent(loadAgentSettings(process.env), logger))
}

/** `RUST_LOG=keylime_agent=debug` and the like. */
export function logLevel(text = ''): 'debug' | 'info' | 'warn' | 'error' {
  const word = /\b(trace|debug|info|warn|error)\b/.exec(text)?.[1]
  if (word === 'trace') return 'debug'
  return (word as 'debug' | undefined) ?? 'info'
}
