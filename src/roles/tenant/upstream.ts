import { loadPythonLogging } from '../../config/python-logging.ts'
import { errorLines, parseArguments, usageText } from '../../core/cli/argparse.ts'
import { causeChain, isKeylimeError, type KeylimeError } from '../../core/errors.ts'
import { type PythonLogger, pythonLogger } from '../../io/log/python-logger.ts'
import { noteLine, printLines, printOwn } from '../../io/terminal/print.ts'
import { type UpstreamOutput, upstreamReport } from './faces/render-upstream.ts'
import { combinationError, optionsOfUpstream, UPSTREAM_ARGUMENTS } from './faces/upstream-arguments.ts'
import { runUpstreamCommand } from './faces/upstream-commands.ts'
import { withTenant } from './start.ts'
import type { TenantContext } from './tenant-context.ts'
import { type TenantOptions, tenantCommand } from './tenant-options.ts'
import { loadTenantSettings } from './tenant-settings.ts'

const PROGRAM = 'keylime_tenant'

/** `keylime_tenant` with upstream's command line, output and exit status: 0, 1 for anything that failed, 2 for the command line. */
export async function runUpstream(args: string[]): Promise<number> {
  const result = parseArguments(UPSTREAM_ARGUMENTS, args)
  if (result.kind === 'help') {
    printOwn(usageText(PROGRAM, UPSTREAM_ARGUMENTS))
    return 0
  }
  const error = result.kind === 'error' ? result.message : combinationError(result.parsed)
  if (error !== undefined || result.kind === 'error') {
    printOwn(usageText(PROGRAM, UPSTREAM_ARGUMENTS), process.stderr)
    for (const line of errorLines(PROGRAM, error ?? '', result.kind === 'error' ? result.hint : undefined)) noteLine(line)
    return 2
  }
  const log = pythonLogger('keylime.tenant', loadPythonLogging(process.env))
  const options = optionsOfUpstream(result.parsed)
  if (!result.parsed.values['agentId']) log('WARNING', `Using default UUID ${options.agentId}`)
  return run(options, log)
}

async function run(options: TenantOptions, log: PythonLogger): Promise<number> {
  const command = tenantCommand(options.command)
  if (!command) return failed(log, `Invalid command specified: ${options.command}`)
  let verifier = ''
  const output: UpstreamOutput = {
    log,
    print: (text) => printLines(text.split('\n')),
    get verifier() {
      return verifier
    },
  }
  let report: ReturnType<typeof upstreamReport> | undefined
  const work = (context: TenantContext) => {
    verifier = `${context.verifier.address.host}:${context.verifier.address.port}`
    report = upstreamReport({ log, print: output.print, verifier })
    return runUpstreamCommand(context, command, output)
  }
  const early = upstreamReport(output)
  try {
    const settings = loadTenantSettings(process.env)
    return await withTenant({ options, settings, report: (event) => (report ?? early)(event) }, work)
  } catch (error) {
    if (!isKeylimeError(error)) return failed(log, error instanceof Error ? (error.stack ?? error.message) : String(error))
    return failed(log, upstreamWords(error, options, verifier))
  }
}

/** Errors that scripts look for, in upstream's words. */
function upstreamWords(error: KeylimeError, options: TenantOptions, verifier: string): string {
  if (error.code === 'agent_not_found' && options.command !== 'reactivate')
    return `Agent $${options.agentId} data not found in the Registrar.`
  if (error.code === 'already_exists')
    return `Verifier (${verifier}) responded indicating a conflict for agent Agent ${options.agentId}. Run "delete" or "update" first.`
  return causeChain(error).join(': ')
}

function failed(log: PythonLogger, text: string): number {
  log('ERROR', text)
  return 1
}
