import fs from 'node:fs'
import { DEFAULT_ROOTS } from '../../config/files.ts'
import { loadPythonLogging } from '../../config/python-logging.ts'
import { CONFIGURED_ROLES } from '../../config/tables.ts'
import { type ArgumentSpec, errorLines, type ParsedArguments, parseArguments, usageText } from '../../core/cli/argparse.ts'
import { causeChain, isKeylimeError } from '../../core/errors.ts'
import { type PythonLogger, pythonLogger } from '../../io/log/python-logger.ts'
import { noteLine, printOwn } from '../../io/terminal/print.ts'
import { planUpgrade, type Upgrade, type UpgradeRequest } from './plan-upgrade.ts'
import { upgradeLines } from './upgrade-report.ts'
import { writeUpgrade } from './write-upgrade.ts'

const PROGRAM = 'keylime_upgrade_config'
const LATEST = '2.6'

const ARGUMENTS: readonly ArgumentSpec[] = [
  { name: 'component', flags: ['--component'], kind: 'append-several' },
  { name: 'debug', flags: ['--debug'], kind: 'flag' },
  { name: 'input', flags: ['--input'], kind: 'append-several' },
  { name: 'out', flags: ['--out'], kind: 'value' },
  { name: 'mapping', flags: ['--mapping'], kind: 'value' },
  { name: 'templates', flags: ['--templates'], kind: 'value' },
  { name: 'version', flags: ['--version'], kind: 'value' },
  { name: 'defaults', flags: ['--defaults'], kind: 'flag' },
]

/** `keylime_upgrade_config` with upstream's command line (policies E.8). Mappings and templates are built in. Status 1 for anything that failed, 2 for the command line. */
export async function runUpstream(args: string[]): Promise<number> {
  const result = parseArguments(ARGUMENTS, args)
  if (result.kind === 'help') {
    printOwn(usageText(PROGRAM, ARGUMENTS))
    return 0
  }
  if (result.kind === 'error') {
    printOwn(usageText(PROGRAM, ARGUMENTS), process.stderr)
    for (const line of errorLines(PROGRAM, result.message, result.hint)) noteLine(line)
    return 2
  }
  const log = pythonLogger('keylime.cmd.convert_config', loadPythonLogging(process.env))
  try {
    return await convert(result.parsed, log)
  } catch (error) {
    if (!isKeylimeError(error)) throw error
    log('ERROR', causeChain(error).join(': '))
    return 1
  }
}

async function convert({ values, flags, lists }: ParsedArguments, log: PythonLogger): Promise<number> {
  const out = values['out'] ?? (process.geteuid?.() === 0 ? DEFAULT_ROOTS.etc : '.')
  const refusal = refused(values, out)
  if (refusal !== undefined) {
    log('ERROR', refusal)
    return 1
  }
  const components = lists['component'] ?? []
  const only = CONFIGURED_ROLES.filter((role) => components.length === 0 || components.includes(role))
  const always = values['out'] !== undefined || components.length > 0
  const plan = planned({ roots: DEFAULT_ROOTS, files: lists['input'] ?? [], only, out, always, defaults: flags.has('defaults') })
  if (only.length > 0) await writeUpgrade(plan)
  for (const line of only.length > 0 ? upgradeLines(plan, true) : [`Nothing to write for ${components.join(', ')}`]) log('INFO', line)
  return 0
}

/** Where nothing is installed, upstream's program writes the defaults. */
function planned(request: UpgradeRequest): Upgrade {
  try {
    return planUpgrade(request)
  } catch (error) {
    if (request.files.length > 0 || !isKeylimeError(error) || error.code !== 'not_found') throw error
    return planUpgrade({ ...request, defaults: true, always: true })
  }
}

function refused({ mapping, version }: ParsedArguments['values'], out: string): string | undefined {
  if (!fs.statSync(out, { throwIfNoEntry: false })?.isDirectory()) return `Output directory ${out} does not exist`
  if (mapping !== undefined) return `--mapping ${mapping}: mappings are built in, another one cannot be applied`
  if (version !== undefined && version !== LATEST)
    return `--version ${version}: files are of version ${LATEST}, which programs of other versions read too`
  return undefined
}
