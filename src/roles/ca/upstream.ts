import fs from 'node:fs'
import { packageCertificate } from '../../authority/certificate-package.ts'
import { createCertificate } from '../../authority/create-certificate.ts'
import { importKey, initAuthority } from '../../authority/init-authority.ts'
import { revokeCertificate } from '../../authority/revoke-certificate.ts'
import { keylimeDirectory } from '../../config/files.ts'
import { loadPythonLogging } from '../../config/python-logging.ts'
import { type ArgumentSpec, errorLines, type ParsedArguments, parseArguments, usageText } from '../../core/cli/argparse.ts'
import { causeChain, isKeylimeError } from '../../core/errors.ts'
import { type PythonLogger, pythonLogger } from '../../io/log/python-logger.ts'
import { noteLine, printOwn } from '../../io/terminal/print.ts'
import { isWordListen, runListener } from './listen/run-listener.ts'
import { type OpenedCa, openCa } from './open-ca.ts'

const PROGRAM = 'keylime_ca'
const NO_NAME = 'you must pass in a name for the certificate using -n (or --name)'

const ARGUMENTS: readonly ArgumentSpec[] = [
  { name: 'command', flags: ['-c', '--command'], kind: 'value' },
  { name: 'name', flags: ['-n', '--name'], kind: 'value' },
  { name: 'dir', flags: ['-d', '--dir'], kind: 'value' },
  { name: 'insecure', flags: ['-i', '--insecure'], kind: 'flag' },
  { name: 'file', flags: ['-f', '--file'], kind: 'value' },
  { name: 'serial', flags: ['-s', '--serial'], kind: 'value' },
]

/** `keylime_ca` with upstream's command line and exit status: 0, 255 for a missing name or an unknown command, 2 for the command line, 1 for the rest (E.4). */
export async function runUpstream(args: string[]): Promise<number> {
  const result = parseArguments(ARGUMENTS, args)
  if (result.kind === 'help') {
    printOwn(usageText(PROGRAM, ARGUMENTS))
    return 0
  }
  const error = result.kind === 'error' ? result.message : syntaxError(result.parsed)
  if (error !== undefined || result.kind === 'error') {
    printOwn(usageText(PROGRAM, ARGUMENTS), process.stderr)
    for (const line of errorLines(PROGRAM, error ?? '', result.kind === 'error' ? result.hint : undefined)) noteLine(line)
    return 2
  }
  const log = pythonLogger('keylime.ca-util', loadPythonLogging(process.env))
  const values = listening(result.parsed.values)
  if (values['dir'] === undefined && !isAccessible(keylimeDirectory(process.env))) {
    log(
      'ERROR',
      `If you don't specify a working directory, this process must be run as a user with access to ${keylimeDirectory(process.env)}`,
    )
    return 255
  }
  try {
    return await run({ ...result.parsed, values }, openCa({ directory: values['dir'], passwordFile: undefined }, process.env), log)
  } catch (error) {
    if (!isKeylimeError(error)) throw error
    log('ERROR', error.code === 'wrong_password' ? 'Invalid password for keystore' : causeChain(error).join(': '))
    return 1
  }
}

async function run({ values, flags }: ParsedArguments, ca: OpenedCa, log: PythonLogger): Promise<number> {
  const { command, name } = values
  if (command === 'init') {
    // Scripts make server and client certificates alike with it, and a CA of this form lets them.
    await initAuthority(await ca.access(true), { replace: true, givesRoles: false })
    log('INFO', `CA certificate created successfully in ${ca.directory}`)
    return 0
  }
  if (command === 'import-priv') {
    if (!/^\d{1,15}$/.test(values['serial'] ?? ''))
      return fail(log, 'you must pass in the last serial number the CA has used using -s (or --serial)')
    await importKey(await ca.access(), values['file'] ?? 'ca-private.pem', Number(values['serial']))
    return 0
  }
  if (command === 'listen') return runListener(ca, { notifier: name, json: false })
  if (command !== 'create' && command !== 'pkg' && command !== 'revoke') return fail(log, `Invalid command: ${command}`)
  if (!name) return fail(log, NO_NAME)
  const access = await ca.access()
  if (command === 'create') {
    await createCertificate(access, { name, alternativeNames: [], days: undefined, csr: undefined, replace: true })
    log('INFO', `Created certificate for name ${name} successfully in ${ca.directory}`)
  } else if (command === 'pkg') {
    if (flags.has('insecure')) log('WARNING', 'Unprotected private keys in cert package being written to disk')
    log('INFO', `Creating cert package for ${name} in ${name}-pkg.zip`)
    await packageCertificate(access, { name, unprotected: flags.has('insecure'), use: ca.tlsUse })
  } else {
    await revokeCertificate(access, { name }, 'unspecified')
  }
  return 0
}

function syntaxError({ values, positionals }: ParsedArguments): string | undefined {
  if (listening(values)['command'] === undefined) return 'the following arguments are required: -c/--command'
  return positionals.length > 0 ? `unrecognized arguments: ${positionals.join(' ')}` : undefined
}

/** `keylime_ca -d listen`, as upstream's documents have it: listen, on the default directory. */
function listening(values: ParsedArguments['values']): ParsedArguments['values'] {
  if (values['command'] !== undefined || !isWordListen(values['dir'])) return values
  const { dir: _word, ...rest } = values
  return { ...rest, command: 'listen' }
}

function fail(log: PythonLogger, text: string): number {
  log('ERROR', text)
  printOwn(usageText(PROGRAM, ARGUMENTS))
  return 255
}

function isAccessible(directory: string): boolean {
  try {
    fs.accessSync(directory, fs.constants.R_OK | fs.constants.W_OK)
    return true
  } catch {
    return false
  }
}
