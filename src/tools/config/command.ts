import type { Argv } from 'yargs'
import type { ConfigDeps, ConfigWord } from './config-word.ts'

interface Word {
  readonly describe: string
  /** Loaded when it is called. Its type belongs to it alone. */
  load(): Promise<ConfigWord<never>>
}

const WORDS: Record<string, Word> = {
  'show [role]': { describe: 'Show the value of each option, and where it comes from', load: async () => (await import('./show.ts')).show },
  'check [role]': {
    describe: 'Check whether the roles could start, without starting them',
    load: async () => (await import('./check.ts')).check,
  },
  'diff [role]': { describe: 'Show what differs from the defaults', load: async () => (await import('./diff.ts')).diff },
  'set <role> <option> [value]': {
    describe: 'Change one option, and keep the comments',
    load: async () => (await import('./set.ts')).set,
  },
  'unset <role> <option>': {
    describe: 'Remove one option, so that its default counts again',
    load: async () => (await import('./unset.ts')).unset,
  },
  'upgrade [files..]': {
    describe: 'Convert the files of any release of upstream',
    load: async () => (await import('./upgrade.ts')).upgrade,
  },
}

/** What `main.ts` runs when the command line is read. */
type Choose = (run: (deps: ConfigDeps) => Promise<number>) => void

/** `keylime config`: a word a file. */
export const command = {
  builder(yargs: Argv, choose: Choose): Argv {
    let cli = yargs
    for (const [word, { describe, load }] of Object.entries(WORDS)) {
      const build = async (builder: Argv) => (await load()).builder(builder)
      cli = cli.command(word, describe, build as never, (argv: unknown) => choose(async (deps) => (await load()).run(argv as never, deps)))
    }
    return cli
      .usage('Shows, checks and changes the configuration of the roles.\n\nUsage: keylime config WORD …')
      .example('keylime config show verifier --origin', 'show each value, and the file and line it comes from')
      .example('keylime config check', 'before the services are restarted')
      .example('sudo keylime config set verifier quote_interval 5', 'change one option; comments stay')
      .epilogue('"keylime config WORD --help" has the options and examples of a word.')
      .demandCommand(
        1,
        `say what to do: keylime config ${Object.keys(WORDS)
          .map((word) => word.split(' ')[0])
          .join(' | ')}`,
      )
  },

  /** Never asked: each word chooses itself. */
  run: async (): Promise<number> => 2,
}
