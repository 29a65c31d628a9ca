import type { Argv } from 'yargs'
import { showConfig } from '../../config/effective.ts'
import { tenantOptions } from '../../config/tenant.ts'
import { exitCodeOfState, STATE_WORDS } from '../../core/attestation/state-word.ts'
import { nearestWord } from '../../core/cli/nearest-word.ts'
import { KeylimeError } from '../../core/errors.ts'
import { DROPPABLE } from '../../core/policy/demand-changes.ts'
import { printableJson } from '../../core/printable.ts'
import { printLine, printLines } from '../../io/terminal/print.ts'
import { showCheck } from '../../io/terminal/show-check.ts'
import { Terminal } from '../../io/terminal/terminal.ts'
import type { TenantEvent } from './events.ts'
import { filterOf, fleetOf } from './faces/machines-of-command.ts'
import { optionsOf } from './faces/options-of-arguments.ts'
import { hideOthers, optionsOfCommand, refuseIdleOptions } from './faces/options-of-command.ts'
import { eventJson, resultJson } from './faces/render-json.ts'
import { resultLines, terminalReport } from './faces/render-terminal.ts'
import { examplesOf, optionTexts, TENANT_WORDS, usageText } from './faces/words.ts'
import { isFleetWord } from './fleet/selection.ts'
import type { HistoryAsked } from './history/show-history.ts'
import { listExitCode, machineCsv } from './list/render-machines.ts'
import { stateOfStatus } from './list/status-lines.ts'
import { expectPolicy } from './policies/policy-resource.ts'
import { runTenantCommand, type TenantResult } from './run-command.ts'
import { notEnrolled } from './services/not-enrolled.ts'
import { withTenant } from './start.ts'
import { COMMANDS, type TenantCommand, tenantCommand } from './tenant-options.ts'
import { loadTenantSettings } from './tenant-settings.ts'

/** Options as yargs gives them; names are the long ones of the command line. */
interface Arguments {
  action?: string | undefined
  ids?: string[] | undefined
  command?: string | undefined
  json?: boolean | undefined
  quiet?: boolean | undefined
  wait?: boolean | undefined
  timeout?: number | undefined
  [option: string]: unknown
}

const text = (describe: string, extra: object = {}) => ({ type: 'string', requiresArg: true, describe, ...extra }) as const

/** `keylime tenant`. */
export const command = {
  words: COMMANDS.map((word) => ({ word, describe: TENANT_WORDS[word], options: optionsOfCommand(word) })),

  builder: (given: Argv): Argv<Arguments> =>
    helpOf(wordAsked(), given)
      .parserConfiguration({ 'short-option-groups': false, 'greedy-arrays': false }) // -tp, -rp, -vp, -vi and -nvc are whole options, as upstream has them
      .option('command', text('The word, in upstream’s form', { alias: 'c' }))
      .group(['targethost', 'targetport', 'uuid', 'cv_targethost', 'name', 'agent-api-version', 'push-model'], 'Which agent:')
      .option('targethost', text('Address of the agent; without -u it also selects the machine', { alias: 't', array: true }))
      .option('targetport', { type: 'number', requiresArg: true, alias: 'tp', describe: 'Port of the agent; default: the registered one' })
      .option('uuid', text('Id of the machine, its name, or the beginning of its id', { alias: 'u', array: true }))
      .option('cv_targethost', text('Address of the agent as the verifier sees it; default: -t'))
      .option('name', text('Name of the machine, shown beside its id; an empty name removes it', { requiresArg: false }))
      .option('agent-api-version', text('API version of the agent; default: ask the agent'))
      .option('push-model', {
        type: 'boolean',
        describe: 'The machine connects to the verifier and brings its evidence, as behind NAT: do not contact it',
      })
      .group(['all', 'policy', 'state', 'from', 'parallel', 'dry-run', 'resume', 'yes'], optionTexts(wordAsked()).many)
      .option('all', { type: 'boolean', describe: optionTexts(wordAsked()).all })
      .option('policy', text('Machines with this runtime or measured boot policy'))
      .option('state', text(`Machines in this state: ${STATE_WORDS.join(', ')}`))
      .option('from', text('CSV or YAML file with the address, id and options of each machine'))
      .option('parallel', { type: 'number', requiresArg: true, describe: 'How many machines at the same time; default: 8' })
      .option('dry-run', { type: 'boolean', describe: 'Change nothing: only ask registrar and verifier what would happen to each machine' })
      .option('resume', text('File that records which machines are done; run the same command again to continue'))
      .option('yes', { type: 'boolean', describe: 'Do not ask' })
      .group(['file', 'cert', 'include', 'key', 'payload', 'sealed', 'verify', 'wait-script', 'password-file'], 'What to deliver:')
      .option('file', text('A file, or a zip that the agent unpacks', { alias: 'f' }))
      .option('cert', {
        type: 'string',
        describe: 'Issue a certificate from the authority in this directory; without a value: KEYLIME_DIR/ca',
      })
      .option('include', text('With --cert: add everything in this directory; you can give it several times', { array: true }))
      .option('key', text('A key file made by userdata-encrypt', { alias: 'k' }))
      .option('payload', text('With -k: the payload encrypted with that key', { alias: 'p' }))
      .option('sealed', {
        type: 'boolean',
        describe: 'Seal the payload to the machine’s TPM and let the verifier hand it over; the machine may be off (as with --push-model)',
      })
      .option('verify', { type: 'boolean', describe: 'Stop attestation if the agent cannot prove that it derived the key' })
      .option('wait-script', {
        type: 'boolean',
        describe: 'Wait until the script of the payload has ended, and fail if it fails (default; --no-wait-script: do not wait)',
      })
      .option('password-file', text('File with the password of the authority; default: KEYLIME_CA_PASSWORD, or ask'))
      .group(
        [
          'tpm_policy',
          'runtime-policy',
          'runtime-policy-name',
          'runtime-policy-checksum',
          'runtime-policy-sig-key',
          'mb-policy',
          'mb-policy-name',
          'drop',
        ],
        'What it must prove:',
      )
      .option('tpm_policy', text('PCR values, such as \'{"15": ["<hex>"]}\'', { alias: 'tpm-policy' }))
      .option('runtime-policy', text('File with the runtime policy (IMA)'))
      .option('runtime-policy-name', text('Name of a stored runtime policy'))
      .option('runtime-policy-checksum', text('SHA-256 digest that the policy file must have'))
      .option('runtime-policy-sig-key', text('Public key that signed the policy'))
      .option('mb-policy', text('File with the measured boot policy, or `default` (mb_refstate)', { alias: 'mb_refstate' }))
      .option('mb-policy-name', text('Name of a stored measured boot policy'))
      .option(
        'drop',
        text('update: what to remove; everything else that you do not name stays. You can give it several times', {
          array: true,
          choices: DROPPABLE,
        }),
      )
      .group(['registrarhost', 'registrarport', 'cv', 'cvport', 'cvid', 'nvc'], 'Servers (default: tenant.conf):')
      .option('registrarhost', text('Registrar [registrar_ip]', { alias: 'r' }))
      .option('registrarport', { type: 'number', requiresArg: true, alias: 'rp', describe: 'Its TLS port [registrar_port]' })
      .option('cv', text('Verifier [verifier_ip]', { alias: 'v' }))
      .option('cvport', { type: 'number', requiresArg: true, alias: 'vp', describe: 'Its port [verifier_port]' })
      .option('cvid', text('Only machines of the verifier with this id', { alias: 'vi' }))
      .option('nvc', { type: 'boolean', describe: 'No effect; accepted because upstream has it, like --no-verifier-check' })
      .option('verifier-check', { type: 'boolean', hidden: true })
      .group(['since', 'until', 'csv', 'ask'], 'With list and history:')
      .option('since', text('history: from this time on, such as 7d, 12h or 2026-11-28'))
      .option('until', text('history: up to this time'))
      .option('csv', { type: 'boolean', describe: 'Print CSV for a spreadsheet or a script' })
      .option('ask', {
        type: 'boolean',
        describe: 'list: ask the machines what happened to their payloads (default; --no-ask: do not ask)',
      })
      .group(['ek-hash', 'serial', 'note', 'list', 'forget', 'refuse'], 'With expect and approve:')
      .option('ek-hash', text('Hash of the TPM’s endorsement key: SHA-256, hex'))
      .option('serial', text('Serial of its EK certificate, hex'))
      .option('note', text('expect: a note for the list'))
      .option('list', { type: 'boolean', describe: 'expect: show what is expected' })
      .option('forget', { type: 'boolean', describe: 'expect: take back what was said of this TPM' })
      .option('refuse', { type: 'boolean', describe: 'approve: refuse the machine; its TPM cannot register any more' })
      .group(['patch', 'only', 'judge', 'packages'], 'With explain:')
      .option('patch', text('Write the smallest change that would accept it to this file, for `keylime policy merge`'))
      .option('only', text('With --patch: the numbers of the failures to accept, such as 1,3; default: all'))
      .option('judge', {
        type: 'boolean',
        describe: 'Judge the kept evidence again on this host (also by --runtime-policy, --mb-policy, --tpm_policy)',
      })
      .option('packages', {
        type: 'boolean',
        describe: 'Show which package on this host owns a file (default; --no-packages: do not)',
      })
      .group(['wait', 'timeout', 'json', 'quiet', 'check-config', 'show-config'], 'How:')
      .option('show-config', { type: 'boolean', describe: 'Show the value of each option and where it comes from, and exit' })
      .option('check-config', { type: 'boolean', describe: 'Check tenant.conf and exit' })
      .option('wait', {
        type: 'boolean',
        describe: optionTexts(wordAsked()).wait,
      })
      .option('timeout', {
        type: 'number',
        requiresArg: true,
        describe: optionTexts(wordAsked()).timeout,
      })
      .option('json', { type: 'boolean', describe: 'Print one JSON object per line, for programs' })
      .option('quiet', { alias: 'q', type: 'boolean', describe: 'Print only the result' }) as unknown as Argv<Arguments>,

  async run(argv: Arguments): Promise<number> {
    if (argv['show-config']) return printLines(showConfig('tenant', tenantOptions, process.env, argv.json)) ?? 0
    if (argv['check-config']) {
      const { checkTenantOf } = await import('./check-tenant.ts')
      return showCheck('tenant', await checkTenantOf(process.env))
    }
    const action = commandOf(argv)
    refuseIdleOptions(action, namesGiven(argv))
    if (action === 'ekroots') return ekroots(argv)
    const fleet = fleetOf(argv, action)
    const terminal = new Terminal({ stream: process.stderr, env: process.env, plain: Boolean(argv.json || argv.quiet) })
    const report = reporterOf(argv, terminal)
    try {
      const start = { options: optionsOf(argv, action), settings: loadTenantSettings(process.env), report }
      if (fleet && isFleetWord(action)) {
        const { runFleetCommand } = await import('./fleet/fleet-command.ts')
        const face = { terminal, json: argv.json === true, quiet: argv.quiet === true }
        return await withTenant(start, (context) => runFleetCommand(context, action, fleet, face))
      }
      if (action === 'history') {
        const { showHistory } = await import('./history/show-history.ts')
        return await withTenant(start, (context) => showHistory(context, historyAsked(argv)))
      }
      const filter = action === 'list' ? filterOf(argv) : undefined
      const result = await withTenant(start, (context) => runTenantCommand(context, action, filter))
      const code = exitCode(result, action)
      if (argv.json) printLine(printableJson(resultJson(result)))
      else if (argv['csv'] && result.type === 'machines') printLines(machineCsv(result.machines))
      else printLines(resultLines(result, { now: Date.now(), width: process.stdout.isTTY ? process.stdout.columns : undefined }))
      return code
    } finally {
      terminal.end()
    }
  },
}

/** Its words and files stand where others have ids of machines. */
async function ekroots(argv: Arguments): Promise<number> {
  const { runEkroots } = await import('./ekroots/ekroots-command.ts')
  const [agentId, another] = [argv['uuid'] ?? []].flat().map(String)
  if (another !== undefined) throw new KeylimeError('usage', 'ekroots check is for one machine')
  const options = { ...optionsOf({ ...argv, ids: [] }, 'ekroots') }
  const start = { options, settings: loadTenantSettings(process.env), report: () => undefined }
  return runEkroots(start, { words: argv.ids ?? [], agentId, json: argv.json === true })
}

const INTERRUPTED = 130

/** What the help of a word says of it, with its options alone; undefined for the whole. */
function helpOf(word: TenantCommand | undefined, given: Argv): Argv {
  const cli = (word ? hideOthers(word, given) : given)
    .usage(usageText(word))
    .positional('ids', { type: 'string', array: true, describe: optionTexts(word).ids })
    .positional('action', { type: 'string', describe: 'One of the words above', default: undefined })
  return examplesOf(word).reduce((so, [line, does]) => so.example(line, does), word ? cli.hide('action') : cli)
}

const wordAsked = (): TenantCommand | undefined =>
  process.argv
    .slice(2)
    .map((arg) => tenantCommand(arg))
    .find((found) => found !== undefined)

function commandOf(argv: Arguments): TenantCommand {
  const word = argv.action ?? argv.command ?? 'add'
  const found = tenantCommand(word)
  if (found) return found
  const meant = nearestWord(word, COMMANDS)
  throw new KeylimeError('usage', `"${word}" is not something that the tenant can do`, {
    hint: meant ? `did you mean \`keylime tenant ${meant}\`?` : `one of: ${COMMANDS.join(', ')}`,
  })
}

function reporterOf(argv: Arguments, terminal: Terminal): (event: TenantEvent) => void {
  if (argv.json) {
    let before: string | undefined
    return (event) => {
      const line = eventJson(event)
      if (line && line !== before) printLine(printableJson(line)) // who waits is told so once
      before = line
    }
  }
  if (argv.quiet) return () => undefined
  return terminalReport(terminal, () => performance.now())
}

/** @throws KeylimeError for answers that mean no; the exit code for those that are only bad news. */
function exitCode(result: TenantResult, command: TenantCommand): number {
  if (result.type === 'policy') expectPolicy(result.answer)
  if (result.type === 'machines') return listExitCode(result.machines)
  if (result.type === 'done' && result.interrupted) return INTERRUPTED
  if (result.type !== 'status') return 0
  if (!result.registered && !result.status) throw notEnrolled(result.agentId)
  const state = command === 'regstatus' ? undefined : stateOfStatus(result)
  return state === undefined ? 0 : exitCodeOfState(state)
}

function historyAsked(argv: Arguments): HistoryAsked {
  const text = (name: string) => (typeof argv[name] === 'string' ? (argv[name] as string) : undefined)
  if (argv.json && argv['csv']) throw new KeylimeError('usage', '--json and --csv exclude each other')
  return { since: text('since'), until: text('until'), form: argv.json ? 'json' : argv['csv'] ? 'csv' : 'text', quiet: argv.quiet === true }
}

/** Long names of the options that the command line has. */
const namesGiven = (argv: Arguments): string[] =>
  Object.entries(argv).flatMap(([name, value]) => (value === undefined || value === false || [value].flat().length === 0 ? [] : [name]))
