import type { Argv } from 'yargs'
import type { PolicyAction } from './policy-action.ts'

interface Word {
  readonly describe: string
  /** Loaded when it is called. Its type belongs to it alone. */
  load(): Promise<PolicyAction<never>>
}

const KINDS: Record<string, Word> = {
  runtime: {
    describe: 'Make a policy of what may run, from a log, files, images, packages or repositories',
    load: async () => (await import('./actions/create-runtime.ts')).createRuntime,
  },
  'measured-boot': {
    describe: 'Make a policy of how a machine may boot, from the log of a good boot',
    load: async () => (await import('./actions/create-measured-boot.ts')).createMeasuredBoot,
  },
  tpm: {
    describe: 'Make static PCRs from this machine’s TPM, a file or a quote',
    load: async () => (await import('./actions/create-tpm.ts')).createTpmAction,
  },
}

const WORDS: Record<string, Word> = {
  test: {
    describe: 'Judge a machine’s logs on this host, as the verifier would',
    load: async () => (await import('./actions/test.ts')).test,
  },
  'lint [file]': {
    describe: 'Find what is valid but probably a mistake, such as wide excludes and weak digests',
    load: async () => (await import('./actions/lint.ts')).lint,
  },
  'diff <policy> [other]': {
    describe: 'Show what differs between two policies, or between a policy and a log',
    load: async () => (await import('./actions/diff.ts')).diff,
  },
  'merge <files..>': {
    describe: 'Add other policies or changes to a policy',
    load: async () => (await import('./actions/merge.ts')).merge,
  },
  'convert [file]': {
    describe: 'Convert an allow list, or a policy in an older format',
    load: async () => (await import('./actions/convert.ts')).convert,
  },
  sign: { describe: 'Sign a runtime policy', load: async () => (await import('./actions/sign.ts')).sign },
  verify: {
    describe: 'Check the signature of a policy, and print the policy',
    load: async () => (await import('./actions/verify.ts')).verify,
  },
}

/** What `main.ts` runs when the command line is read. */
type Choose = (run: () => Promise<number>) => void

/** `keylime policy`: a word a file in `actions`. */
export const command = {
  builder: (yargs: Argv, choose: Choose): Argv =>
    addWords(yargs, WORDS, choose)
      .usage('Makes, tests, checks and changes policies, which say what machines must be and may run.\n\nUsage: keylime policy WORD …')
      .example('keylime policy create runtime --log ima.txt -o policy.json', 'accept what this machine has run')
      .example(
        'keylime policy test --runtime-policy policy.json --log ima.txt --pcrs pcrs.txt',
        'judge on this host, as the verifier would',
      )
      .example('keylime policy lint policy.json', 'find excludes that are too wide, and weak digests')
      .epilogue('"keylime policy WORD --help" has the options and examples of a word.')
      .command('create', 'Make a policy', (create: Argv) =>
        addWords(create, KINDS, choose)
          .usage('Makes a policy.\n\nUsage: keylime policy create KIND [options]')
          .example('keylime policy create runtime --log ima.txt -o policy.json', 'accept what this machine has run')
          .example('keylime policy create measured-boot --event-log uefi.bin -o boot.json', 'accept machines that boot like this one')
          .demandCommand(1, `say which kind of policy: keylime policy create ${Object.keys(KINDS).join(' | ')}`),
      )
      .demandCommand(1, `say what to do: keylime policy create | ${Object.keys(WORDS).map(firstWord).join(' | ')}`),

  /** Never asked: each word chooses itself. */
  run: async (): Promise<number> => 2,
}

const firstWord = (usage: string) => usage.split(' ')[0]

function addWords(yargs: Argv, words: Record<string, Word>, choose: Choose): Argv {
  let cli = yargs
  for (const [word, { describe, load }] of Object.entries(words)) {
    const build = async (builder: Argv) => (await load()).builder(builder)
    const run = async (argv: unknown): Promise<number> => (await load()).run(argv as never)
    cli = cli.command(word, describe, build as never, (argv: unknown) => choose(() => run(argv)))
  }
  return cli
}
