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
        'Checks and reads the audit log: what a verifier did, and who told it to.\n\nUsage: keylime verifier audit WORD [FILE…] [options]',
      )
      .example('keylime verifier audit verify', 'the log of verifier.conf, with its older files')
      .example('keylime verifier audit show --agent d432 --since 2d', 'what happened to one machine in two days')
      .command('verify [files..]', 'Whether the log is whole, and if not, where and what is wrong', verifyOptions as never, (argv) =>
        run(() => verifyAudit(argv as never)),
      )
      .command('show [files..]', 'What the log says, an event a line', showOptions as never, (argv) => run(() => showAudit(argv as never)))
      .describe('json', 'For programs')
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
      'Recomputes the chain of hashes: says how many lines there are, from when to when, and exactly where the chain does not hold.\nExit codes: 0 whole, 1 broken, 6 no such file.\n\nUsage: keylime verifier audit verify [FILE…] [options]',
    )
    .example('keylime verifier audit verify', 'the log of verifier.conf, with its older files')
    .example('keylime verifier audit verify audit.log --head 5f0c…', 'also whether the end was cut off since that head was printed')
    .positional('files', { type: 'string', array: true, describe: FILES })
    .option('head', { type: 'string', requiresArg: true, describe: 'Hash that an earlier verify printed: the line must still be there' })
    .option('json', { type: 'boolean', describe: 'One JSON object, for machines' }) as unknown as Argv<VerifyArguments>

const showOptions = (yargs: Argv): Argv<ShowArguments> =>
  yargs
    .usage(
      'Shows what the log says. It does not check the chain: "keylime verifier audit verify" does.\n\nUsage: keylime verifier audit show [FILE…] [options]',
    )
    .example('keylime verifier audit show --since 2h', 'the last two hours')
    .example('keylime verifier audit show --agent d432fbb3 --json | jq .event', 'all of one machine, for programs')
    .positional('files', { type: 'string', array: true, describe: FILES })
    .option('agent', { type: 'string', requiresArg: true, describe: 'Only what is about this machine: its id, or how it begins' })
    .option('since', { type: 'string', requiresArg: true, describe: 'Only from then on: 90s, 30m, 2h, 7d, or a date such as 2026-11-28' })
    .option('json', { type: 'boolean', describe: 'The lines of the log as they are' }) as unknown as Argv<ShowArguments>
