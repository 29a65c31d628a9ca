import type { Argv } from 'yargs'
import type { PolicyAction } from './policy-action.ts'

interface Word {
  readonly describe: string
  /** Loaded when it is called. Its type belongs to it alone. */
  load(): Promise<PolicyAction<never>>
}

const KINDS: Record<string, Word> = {
  runtime: {
    describe: 'What may run: from a log, files, images, packages, repositories',
    load: async () => (await import('./actions/create-runtime.ts')).createRuntime,
  },
  'measured-boot': {
    describe: 'How a machine may boot: from the boot log of a good boot',
    load: async () => (await import('./actions/create-measured-boot.ts')).createMeasuredBoot,
  },
  tpm: {
    describe: 'Static PCRs: of this machine’s TPM, of a file, of a quote',
    load: async () => (await import('./actions/create-tpm.ts')).createTpmAction,
  },
}

const WORDS: Record<string, Word> = {
  test: {
    describe: 'The verifier’s judgement of a machine’s logs, here',
    load: async () => (await import('./actions/test.ts')).test,
  },
  'lint [file]': {
    describe: 'Excludes that are too wide, weak digests: what is valid and probably not meant',
    load: async () => (await import('./actions/lint.ts')).lint,
  },
  'diff <policy> [other]': {
    describe: 'What differs between two policies, or between a policy and a log',
    load: async () => (await import('./actions/diff.ts')).diff,
  },
  'merge <files..>': {
    describe: 'Add policies or changes to a policy',
    load: async () => (await import('./actions/merge.ts')).merge,
  },
  'convert [file]': {
    describe: 'A runtime policy of an allow list, or of a policy of older form',
    load: async () => (await import('./actions/convert.ts')).convert,
  },
  sign: { describe: 'Sign a runtime policy', load: async () => (await import('./actions/sign.ts')).sign },
  verify: { describe: 'The policy in an envelope whose signature is good', load: async () => (await import('./actions/verify.ts')).verify },
}

/** What `main.ts` runs when the command line is read. */
type Choose = (run: () => Promise<number>) => void

/** `keylime policy`: a word a file in `actions`. */
export const command = {
  builder: (yargs: Argv, choose: Choose): Argv =>
    addWords(yargs, WORDS, choose)
      .usage('Makes, tests, changes and checks policies: what machines must be, and may run.\n\nUsage: keylime policy WORD …')
      .example('keylime policy create runtime --log ima.txt -o policy.json', 'accept what this machine has run')
      .example('keylime policy test --runtime-policy policy.json --log ima.txt --pcrs pcrs.txt', 'the verifier’s judgement, here')
      .example('keylime policy lint policy.json', 'excludes that are too wide, weak digests')
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
