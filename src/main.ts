#!/usr/bin/env node
import path from 'node:path'
import { COMMANDS, checkRole, PROGRAM, startRegistrar, UPSTREAM } from './commands.ts'
import { EXIT_CODES } from './core/cli/exit-codes.ts'
import { type DeclaredOptions, refuseSecondValues } from './core/cli/given-once.ts'
import { nearestWord } from './core/cli/nearest-word.ts'
import { refuseOddValues, type TypedOptions } from './core/cli/odd-values.ts'
import { usageFailure } from './core/cli/usage-failure.ts'
import { exitCodeOf, isKeylimeError, KeylimeError } from './core/errors.ts'
import { VERSION, versionText } from './io/service/version.ts'
import { endWithReader } from './io/terminal/output-failure.ts'
import { printFailure } from './io/terminal/print-failure.ts'
import { showHelp } from './io/terminal/show-help.ts'

endWithReader()
process.title = [path.basename(process.argv0) in UPSTREAM ? path.basename(process.argv0) : 'keylime', ...process.argv.slice(2)].join(' ') // what `ps` and `ss` show, where Node would have MainThread
const given = process.argv.slice(2)
/** `keylime help ROLE` and `keylime ROLE help` are what they look like. */
const args = given[0] === 'help' ? [...given.slice(1), '--help'] : given[1] === 'help' ? [given[0]!, ...given.slice(2), '--help'] : given
/** What roles and tools need of each other, and may not take by themselves. */
const DEPS = {
  startRegistrar,
  checkRegistrar: (env: NodeJS.ProcessEnv) => checkRole('registrar', env),
  checkRole,
  tree: async () => (await import('./command-tree.ts')).commandTree(),
}
const ROLES = Object.keys(COMMANDS).map((name) => name.split(' ')[0]!)
const upstream = UPSTREAM[path.basename(process.argv0)]

/** When the command has come to its end and `process.exitCode` says how. */
export const ended: Promise<void> = finish(chosenWork())

function chosenWork(): () => Promise<number> {
  if (upstream) return async () => (await upstream()).runUpstream(args)
  if (args.length === 1 && (args[0] === '--version' || args[0] === '-V')) return async () => showVersion()
  if (args[0] === 'run-js-action' && args.length === 3)
    return async () => (await import('./roles/agent/revocation/run-js-action.ts')).runJsAction(args[1]!, args[2]!)
  if (args[0] === 'completion' && args[1] === 'values' && args.length === 3) return () => showKnownNames(args[2]!)
  return runCommandLine
}

async function finish(run: () => Promise<number>): Promise<void> {
  try {
    process.exitCode = await run()
  } catch (error) {
    printFailure(error, { debug: args.includes('--debug'), json: args.includes('--json') })
    process.exitCode = isKeylimeError(error) ? exitCodeOf(error.code) : 1
  }
}

function showVersion(): number {
  process.stdout.write(`${versionText()}\n`)
  return 0
}

/** What completions ask for: a name a line. */
async function showKnownNames(kind: string): Promise<number> {
  const { knownNames } = await import('./roles/tenant/known-names.ts')
  const { printLines } = await import('./io/terminal/print.ts')
  printLines(await knownNames(kind, process.env))
  return 0
}

async function runCommandLine(): Promise<number> {
  const { default: yargs } = await import('yargs')
  let chosen: ((deps: typeof DEPS) => Promise<number>) | undefined // run behind yargs: for a handler that returns a promise it renders the help text first, 30 ms
  const choose = (run: (deps: typeof DEPS) => Promise<number>) => {
    chosen = run
  }
  const [role = ''] = args
  if (role !== '' && !role.startsWith('-') && !ROLES.includes(role)) throw unknownRole(role)
  let cli = yargs(args)
    .scriptName('keylime')
    .usage(`${PROGRAM.purpose}\n\nUsage: ${PROGRAM.usage}`)
    .version(VERSION)
    .alias({ help: 'h', version: 'V' })
    .locale('en')
    .option('debug', { type: 'boolean', hidden: true, describe: 'Show where a failure came from' })
    .strict()
    .demandCommand(1, 'Say which role: "keylime --help" lists them.')
    .wrap(Math.min(120, process.stdout.columns ?? 80))
    .epilogue(
      `"keylime ROLE --help" has the options and examples of a role. \nExit codes: ${EXIT_CODES.map((code) => code.join(' ')).join(', ')}.`,
    )
    .middleware(checkValues as never) // its types leave the second argument out
    .fail((message: string | undefined, error: Error | undefined) => failUsage(message, error, cli as never))
  for (const [line, what] of PROGRAM.examples) cli = cli.example(line, what)
  for (const [name, { describe, load }] of Object.entries(COMMANDS)) {
    cli = cli.command(
      name,
      describe,
      async (builder) => (await load()).command.builder(builder, choose),
      (argv) => {
        choose(async () => (await load()).command.run(argv as never, DEPS))
      },
    ) as typeof cli
  }
  if (role === '') {
    process.stderr.write(`${await cli.getHelp()}\n`)
    return 2
  }
  let help = ''
  const keepHelp = (_error: unknown, _argv: unknown, output: string) => {
    help = output
  }
  await cli.parseAsync(args, {}, keepHelp).catch((error: Error) => failUsage(undefined, error, cli as never))
  if (help !== '') await showHelp(`${help}\n`, { stream: process.stdout, env: process.env })
  return help === '' && chosen ? chosen(DEPS) : 0
}

function checkValues(argv: Record<string, unknown>, parser: Declared): void {
  refuseSecondValues(argv, parser.getOptions())
  refuseOddValues(argv, parser.getOptions(), args)
}

function unknownRole(word: string): KeylimeError {
  const meant = nearestWord(word, ROLES)
  const hint = meant ? `did you mean \`keylime ${meant}\`?` : `one of: ${ROLES.join(', ')}`
  return new KeylimeError('usage', `there is no role "${word}"`, { hint })
}

function failUsage(message: string | undefined, error: Error | undefined, cli: Declared): never {
  if (error && error.name !== 'YError') throw error
  const nested = args[0] === 'policy' || args[0] === 'config' || args[1] === 'audit'
  const hasTwo = nested || ['migrate', 'backup', 'restore'].includes(args[1] ?? '')
  const words = args.filter((arg, i) => !arg.startsWith('-') && i < (hasTwo ? 2 : 1))
  const { key, alias } = cli.getOptions()
  const names = [...Object.keys(key), ...Object.values(alias).flat()].filter((name) => !/[A-Z]/.test(name))
  throw usageFailure(error?.message ?? message ?? '', {
    args,
    flags: [...new Set(names)].map((name) => (name.length === 1 ? `-${name}` : `--${name}`)),
    words: nested ? cli.getInternalMethods().getCommandInstance().getCommands() : [],
    path: ['keylime', ...words],
  })
}

/** Of yargs, what its types leave out. */
interface Declared {
  getOptions(): DeclaredOptions & TypedOptions & { readonly key: Readonly<Record<string, unknown>> }
  getInternalMethods(): { getCommandInstance(): { getCommands(): string[] } }
}
