import type { Argv } from 'yargs'
import { type ShowArguments, showAudit } from './show-audit.ts'
import { type VerifyArguments, verifyAudit } from './verify-audit.ts'

/** What `main.ts` runs when the command line is read. */
export type Choose = (run: () => Promise<number>) => void

/** `keylime verifier audit verify | show`. */
export function addAuditWords(yargs: Argv, choose: Choose): Argv {
  const run = (word: () => Promise<number>) => choose(word)
  return yargs.command('audit', 'Check and read the audit log of a verifier', (audit: Argv) =>
    audit
      .usage(
        'Checks and prints the audit log: what a verifier did, and who ordered it.\n\nUsage: keylime verifier audit WORD [FILE…] [options]',
      )
      .example('keylime verifier audit verify', 'the log that verifier.conf names, with its older files')
      .example('keylime verifier audit show --agent d432 --since 2d', 'what happened to one machine in the last two days')
      .command('verify [files..]', 'Check the log, and show where and how it was changed', verifyOptions as never, (argv) =>
        run(() => verifyAudit(argv as never)),
      )
      .command('show [files..]', 'Print the log, one event per line', showOptions as never, (argv) => run(() => showAudit(argv as never)))
      .describe('json', 'Print JSON, for programs')
      .hide('check-config')
      .hide('verbose')
      .demandCommand(1, 'say what to do: keylime verifier audit verify | show')
      .strictCommands(),
  )
}

const FILES = 'Files of one log, oldest first; /dev/stdin for a pipe. Default: audit_log of verifier.conf, with its older files'

const verifyOptions = (yargs: Argv): Argv<VerifyArguments> =>
  yargs
    .usage(
      'Recomputes the chain of hashes. Says how many lines there are, from when to when, and where the chain does not hold.\nExit codes: 0 whole, 1 broken, 6 no such file.\n\nUsage: keylime verifier audit verify [FILE…] [options]',
    )
    .example('keylime verifier audit verify', 'the log that verifier.conf names, with its older files')
    .example(
      'keylime verifier audit verify audit.log --head 5f0c…',
      'check also whether someone has cut off the end since that head was printed',
    )
    .positional('files', { type: 'string', array: true, describe: FILES })
    .option('head', { type: 'string', requiresArg: true, describe: 'Hash that an earlier verify printed; that line must still be there' })
    .option('json', { type: 'boolean', describe: 'Print one JSON object, for programs' }) as unknown as Argv<VerifyArguments>

const showOptions = (yargs: Argv): Argv<ShowArguments> =>
  yargs
    .usage(
      'Prints the log. To check the chain, use "keylime verifier audit verify".\n\nUsage: keylime verifier audit show [FILE…] [options]',
    )
    .example('keylime verifier audit show --since 2h', 'the last two hours')
    .example('keylime verifier audit show --agent d432fbb3 --json | jq .event', 'everything about one machine, for programs')
    .positional('files', { type: 'string', array: true, describe: FILES })
    .option('agent', { type: 'string', requiresArg: true, describe: 'Only events about this machine: its id, or the beginning of it' })
    .option('since', {
      type: 'string',
      requiresArg: true,
      describe: 'Only from this time on: 90s, 30m, 2h, 7d, or a date such as 2026-11-28',
    })
    .option('json', { type: 'boolean', describe: 'Print the lines of the log as they are' }) as unknown as Argv<ShowArguments>
