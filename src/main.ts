#!/usr/bin/env node
import path from 'node:path'
import { type DeclaredOptions, refuseSecondValues } from './core/cli/given-once.ts'
import { nearestWord } from './core/cli/nearest-word.ts'
import { refuseOddValues, type TypedOptions } from './core/cli/odd-values.ts'
import { usageFailure } from './core/cli/usage-failure.ts'
import { exitCodeOf, isKeylimeError, KeylimeError } from './core/errors.ts'
import type { Logger } from './io/log/logger.ts'
import { VERSION, versionText } from './io/service/version.ts'
import { endWithReader } from './io/terminal/output-failure.ts'
import { printFailure } from './io/terminal/print-failure.ts'
import { showHelp } from './io/terminal/show-help.ts'

/** Each role and tool, loaded only when it is called: `--help` must not pay for what it does not need. */
const COMMANDS = {
  'tenant [action] [ids..]': {
    describe: 'Enrol machines, deliver payloads, ask for verdicts',
    load: () => import('./roles/tenant/command.ts'),
  },
  agent: {
    describe: 'Run on the machine that shall prove itself: quotes of its TPM, payloads, revocation actions',
    load: () => import('./roles/agent/command.ts'),
  },
  verifier: {
    describe: 'Attest machines, release payload keys, revoke (also hosts the registrar)',
    load: () => import('./roles/verifier/command.ts'),
  },
  registrar: { describe: 'Bind ids of machines to their TPMs', load: () => import('./roles/registrar/command.ts') },
  'ca [action] [subject]': { describe: 'Issue and revoke the certificates of machines', load: () => import('./roles/ca/command.ts') },
  'userdata-encrypt <file>': {
    describe: 'Encrypt a payload for delivery by other means',
    load: () => import('./tools/userdata-encrypt/command.ts'),
  },
  policy: {
    describe: 'Make, test, change and check policies: what machines may run',
    load: () => import('./tools/policy/command.ts'),
  },
  'service <action> <role>': { describe: 'Install a role as a systemd service', load: () => import('./tools/service/command.ts') },
} as const

/** Upstream's program names: the same work behind upstream's command lines. */
const UPSTREAM: Record<string, () => Promise<{ runUpstream(args: string[]): Promise<number> }>> = {
  keylime_tenant: () => import('./roles/tenant/upstream.ts'),
  keylime_agent: () => import('./roles/agent/upstream.ts'),
  keylime_push_model_agent: () => import('./roles/agent/upstream-push.ts'),
  keylime_verifier: () => import('./roles/verifier/upstream.ts'),
  keylime_registrar: () => import('./roles/registrar/upstream.ts'),
  keylime_ca: () => import('./roles/ca/upstream.ts'),
  'keylime-policy': () => import('./tools/policy/upstream/keylime-policy.ts'),
  keylime_create_policy: () => import('./tools/policy/upstream/create-policy.ts'),
  keylime_convert_runtime_policy: () => import('./tools/policy/upstream/convert-policy.ts'),
  keylime_sign_runtime_policy: () => import('./tools/policy/upstream/sign-policy.ts'),
  keylime_userdata_encrypt: () => import('./tools/userdata-encrypt/upstream.ts'),
}

endWithReader()
process.title = [path.basename(process.argv0) in UPSTREAM ? path.basename(process.argv0) : 'keylime', ...process.argv.slice(2)].join(' ') // what `ps` and `ss` show, where Node would have MainThread
const given = process.argv.slice(2)
/** `keylime help ROLE` and `keylime ROLE help` are what they look like. */
const args = given[0] === 'help' ? [...given.slice(1), '--help'] : given[1] === 'help' ? [given[0]!, ...given.slice(2), '--help'] : given
const ROLES = Object.keys(COMMANDS).map((name) => name.split(' ')[0]!)
const upstream = UPSTREAM[path.basename(process.argv0)]

if (upstream) void finish(async () => (await upstream()).runUpstream(args))
else if (args.length === 1 && (args[0] === '--version' || args[0] === '-V')) process.stdout.write(`${versionText()}\n`)
else if (args[0] === 'run-js-action' && args.length === 3)
  void finish(async () => (await import('./roles/agent/revocation/run-js-action.ts')).runJsAction(args[1]!, args[2]!))
else void finish(runCommandLine)

async function finish(run: () => Promise<number>): Promise<void> {
  try {
    process.exitCode = await run()
  } catch (error) {
    printFailure(error, { debug: args.includes('--debug'), json: args.includes('--json') })
    process.exitCode = isKeylimeError(error) ? exitCodeOf(error.code) : 1
  }
}

async function runCommandLine(): Promise<number> {
  const { default: yargs } = await import('yargs')
  let chosen: (() => Promise<number>) | undefined // run behind yargs: for a handler that returns a promise it renders the help text first, 30 ms
  const choose = (run: () => Promise<number>) => {
    chosen = run
  }
  const [role = ''] = args
  if (role !== '' && !role.startsWith('-') && !ROLES.includes(role)) throw unknownRole(role)
  let cli = yargs(args)
    .scriptName('keylime')
    .usage('keylime delivers secrets only to machines that prove, with their TPM, what they run.\n\nUsage: keylime ROLE …')
    .example('keylime verifier', 'a first installation: verifier and registrar in one process')
    .example('keylime agent', 'on each machine with a TPM')
    .example('keylime tenant -t 10.0.0.7 --cert ca --include payload', 'deliver a payload to that machine')
    .version(VERSION)
    .alias({ help: 'h', version: 'V' })
    .locale('en')
    .option('debug', { type: 'boolean', hidden: true, describe: 'Show where a failure came from' })
    .strict()
    .demandCommand(1, 'Say which role: "keylime --help" lists them.')
    .wrap(Math.min(120, process.stdout.columns ?? 80))
    .epilogue(
      '"keylime ROLE --help" has the options and examples of a role. \nExit codes: 0 done, 1 failed, 2 usage, 3 attestation failed,\n4 unreachable or timed out, 5 refused, 6 not found.',
    )
    .middleware(checkValues as never) // its types leave the second argument out
    .fail((message: string | undefined, error: Error | undefined) => failUsage(message, error, cli as never))
  for (const [name, { describe, load }] of Object.entries(COMMANDS)) {
    cli = cli.command(
      name,
      describe,
      async (builder) => (await load()).command.builder(builder, choose),
      (argv) => {
        choose(async () => (await load()).command.run(argv as never, { startRegistrar, checkRegistrar }))
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
  return help === '' && chosen ? chosen() : 0
}

function checkValues(argv: Record<string, unknown>, parser: Declared): void {
  refuseSecondValues(argv, parser.getOptions())
  refuseOddValues(argv, parser.getOptions(), args)
}

async function checkRegistrar(env: NodeJS.ProcessEnv) {
  const { readRegistrarSettings } = await import('./roles/registrar/registrar-settings.ts')
  const { checkRegistrar: check } = await import('./roles/registrar/check-registrar.ts')
  const { settings, problems } = readRegistrarSettings(env)
  return check(settings, problems)
}

/** The verifier's first installation hosts the registrar too; roles never import each other, so the seam is here. */
async function startRegistrar(env: NodeJS.ProcessEnv, logger: Logger) {
  const { loadRegistrarSettings } = await import('./roles/registrar/registrar-settings.ts')
  const { startRegistrar: start } = await import('./roles/registrar/start.ts')
  return start(loadRegistrarSettings(env), logger)
}

function unknownRole(word: string): KeylimeError {
  const meant = nearestWord(word, ROLES)
  const hint = meant ? `did you mean \`keylime ${meant}\`?` : `one of: ${ROLES.join(', ')}`
  return new KeylimeError('usage', `there is no role "${word}"`, { hint })
}

function failUsage(message: string | undefined, error: Error | undefined, cli: Declared): never {
  if (error && error.name !== 'YError') throw error
  const nested = args[0] === 'policy' || args[1] === 'audit'
  const words = args.filter((arg, i) => !arg.startsWith('-') && i < (nested ? 2 : 1))
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
