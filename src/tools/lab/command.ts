import type { Argv } from 'yargs'
import { KeylimeError } from '../../core/errors.ts'
import { noteLine, printJson, printLines } from '../../io/terminal/print.ts'
import { KIND_TEXTS, type Kind, type Shares } from './kinds.ts'
import { reportLines } from './report-lines.ts'
import { type FleetReport, runFleet } from './run-fleet.ts'

interface Arguments extends Record<Exclude<Kind, 'honest'>, number> {
  what: 'fleet'
  agents: number
  interval: number
  seconds: number
  logLines: number
  policyDigests: number
  register?: boolean | undefined
  executable?: string | undefined
  json?: boolean | undefined
}

/**
 * Each machine has an address of its own, from 127.10.0.0 on: fifteen million are left. Connections are told apart by it, so ports do not bound them, and the verifier keeps no more of them
 * than the descriptors of a process allow. More than these machines would try out the memory of the host.
 */
const MAX_AGENTS = 100_000
const KINDS = Object.entries(KIND_TEXTS) as [Exclude<Kind, 'honest'>, string][]

/** `keylime lab`. */
export const command = {
  builder(yargs: Argv): Argv<Arguments> {
    const cli = yargs
      .usage(
        'Tries out a verifier with simulated machines on this host. Each has its own attestation key, certificate and measurement list, and signs each nonce. The verifier is the real one, in a directory that is removed at the end.\n\nUsage: keylime lab fleet [options]',
      )
      .example('keylime lab fleet --agents 1000', 'what attesting a thousand machines costs on this host')
      .example('keylime lab fleet --agents 2000 --hanging 0.1 --lying 0.01', 'whether bad machines disturb the others')
      .positional('what', { choices: ['fleet'] as const, demandOption: true, describe: 'What to try' })
      .option('agents', { type: 'number', default: 100, requiresArg: true, describe: 'Number of machines' })
      .option('interval', { type: 'number', default: 2, requiresArg: true, describe: 'Seconds between two attestations of one machine' })
      .option('seconds', { type: 'number', default: 20, requiresArg: true, describe: 'How long to measure' })
      .option('log-lines', { type: 'number', default: 50, requiresArg: true, describe: 'Lines of each measurement list; 0 for no policy' })
      .option('policy-digests', { type: 'number', default: 1000, requiresArg: true, describe: 'Digests of the policy that all share' })
      .option('register', { type: 'boolean', describe: 'Register each machine at the registrar of that verifier first' })
      .option('executable', { type: 'string', requiresArg: true, describe: 'Measure the verifier of this keylime executable' })
      .option('json', { type: 'boolean', describe: 'Print JSON, for programs' })
    return KINDS.reduce(
      (all, [kind, text]) =>
        all.option(kind, { type: 'number', default: 0, requiresArg: true, describe: `Share of machines that ${text}` }),
      cli as Argv,
    ) as unknown as Argv<Arguments>
  },

  async run(argv: Arguments): Promise<number> {
    const shares = sharesOf(argv)
    const count = inRange('--agents', argv.agents, [1, MAX_AGENTS])
    const report = await runFleet({
      ...{
        count,
        shares,
        command: argv.executable === undefined ? [] : [argv.executable],
        register: argv.register ?? false,
        told: (text: string) => noteLine(`lab: ${text}`),
      },
      interval: inRange('--interval', argv.interval, [0, 3600]),
      seconds: inRange('--seconds', argv.seconds, [1, 86_400]),
      logLines: inRange('--log-lines', argv.logLines, [0, 1_000_000]),
      policyDigests: inRange('--policy-digests', argv.policyDigests, [0, 1_000_000]),
    })
    if (argv.json) printJson({ agents: count, shares, ...report })
    else printLines(reportLines(report))
    return verdictOf(report)
  },
}

function sharesOf(argv: Arguments): Shares {
  const shares = Object.fromEntries(
    KINDS.map(([kind]) => [kind, inRange(`--${kind}`, argv[kind], [0, 1])]).filter(([, share]) => share !== 0),
  )
  const sum = Object.values(shares).reduce((total: number, share) => total + Number(share), 0)
  if (sum > 1) throw new KeylimeError('usage', `the shares of machines add up to ${sum}: 1 is all of them`)
  return shares
}

function inRange(name: string, value: number, [low, high]: [number, number]): number {
  if (value >= low && value <= high) return value
  throw new KeylimeError('usage', `${name} must be from ${low} to ${high}`)
}

/** An honest machine that is distrusted is a fault of the verifier. A liar that just began may not have been asked since. */
function verdictOf({ distrusted, liars }: FleetReport): number {
  if (distrusted <= liars) return 0
  throw new KeylimeError('attestation_failed', `${distrusted} machines failed, and only ${liars} lied`, {
    hint: 'this is a bug: please report it with the options of this run',
  })
}
