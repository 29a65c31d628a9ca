import { KeylimeError } from '../../../core/errors.ts'
import { compareLog } from '../../../core/ima/compare-log.ts'
import { parseRuntimePolicy, type RuntimePolicy } from '../../../core/ima/runtime-policy.ts'
import { plainPolicy } from '../../../core/ima/signed-policy.ts'
import { comparePolicies, type PolicyDifference } from '../../../core/policy/compare-policies.ts'
import type { Failure } from '../../../core/verdict/failure.ts'
import { writeFileAtomic } from '../../../io/files/atomic-file.ts'
import { readText } from '../../../io/files/read-file.ts'
import { noteLine, printJson, printLines } from '../../../io/terminal/print.ts'
import { ofFile } from '../of-file.ts'
import { file, json, type PolicyAction } from '../policy-action.ts'
import { eachImaLine } from '../read-ima-list.ts'

interface Arguments {
  policy: string
  other?: string | undefined
  log?: string | undefined
  patch?: string | undefined
  json?: boolean | undefined
}

/** `keylime policy diff`: exit code 0 for equal, 1 for different. */
export const diff: PolicyAction<Arguments> = {
  builder: (yargs) =>
    yargs
      .usage(
        'Shows what differs between two policies, or between a runtime policy and what a machine has run.\n\nUsage: keylime policy diff POLICY [OTHER] [options]',
      )
      .example('keylime policy diff old.json new.json', '+ is only in the second policy, - only in the first')
      .example(
        'keylime policy diff policy.json --log ima.txt --patch add.json',
        'show what would fail, and write the change that accepts it',
      )
      .positional('policy', { type: 'string', describe: 'A policy of any kind' })
      .positional('other', { type: 'string', describe: 'Another one of that kind' })
      .option('log', file('IMA log to compare a runtime policy with, instead of OTHER'))
      .option('patch', file('With --log: write the smallest change that accepts the log to this file, for `merge`'))
      .option('json', json),

  async run(argv) {
    const policy = await readPlain(argv.policy)
    if (argv.log !== undefined && argv.other === undefined)
      return diffLog(
        ofFile(argv.policy, () => parseRuntimePolicy(policy)),
        argv.log,
        argv,
      )
    if (argv.other === undefined || argv.log !== undefined || argv.patch !== undefined)
      throw new KeylimeError('usage', 'a policy is compared with another one, or with a log', {
        hint: 'keylime policy diff POLICY OTHER, or keylime policy diff POLICY --log FILE [--patch FILE]',
      })
    const differences = comparePolicies(policy, await readPlain(argv.other))
    if (argv.json) printJson({ equal: differences.length === 0, differences })
    else printLines(differences.flatMap(differenceLines))
    return differences.length === 0 ? 0 : 1
  },
}

async function readPlain(name: string): Promise<string> {
  const text = await readText(name)
  return ofFile(name, () => plainPolicy(text, { key: null, required: false }))
}

async function diffLog(policy: RuntimePolicy, log: string, { patch, json: asJson }: Arguments): Promise<number> {
  const { failures, accept, logHash, settings, hopeless } = compareLog(policy, await imaLines(log))
  if (patch !== undefined && accept) await writeFileAtomic(patch, `${JSON.stringify(accept, null, 1)}\n`, 0o644)
  if (asJson) printJson({ equal: failures.length === 0, failures, accept, log_hash_alg: logHash, settings })
  else printLines(failures.flatMap(failureLines))
  if (!asJson && logHash !== null)
    noteLine(
      `the list has ${logHash} template hashes: set ima.log_hash_alg of the policy to "${logHash}"; no line has to be accepted for that`,
    )
  if (!asJson && settings.length > 0)
    noteLine(
      `${settings.join(' and ')} of the policy decide about what no list accepts, so change ${settings.length === 1 ? 'it' : 'them'} by hand`,
    )
  if (!asJson && hopeless > 0)
    noteLine(`${hopeless} ${hopeless === 1 ? 'line' : 'lines'} of the log are themselves bad: no change to the policy accepts them`)
  return failures.length === 0 ? 0 : 1
}

async function imaLines(file: string): Promise<string[]> {
  const lines: string[] = []
  await eachImaLine(file, (line) => void lines.push(line))
  return lines
}

const differenceLines = ({ path, change, added, removed }: PolicyDifference): string[] => [
  `${change} ${path}`,
  ...removed.map((item) => `  - ${typeof item === 'string' ? item : JSON.stringify(item)}`),
  ...added.map((item) => `  + ${typeof item === 'string' ? item : JSON.stringify(item)}`),
]

function failureLines({ eventId, context: { message, got, expected, line } }: Failure): string[] {
  const facts = [
    ...(typeof got === 'string' ? [`got ${got}`] : []),
    ...(Array.isArray(expected) && expected.length > 0 ? [`listed ${expected.join(', ')}`] : []),
  ]
  return [`line ${String(line)}: ${eventId}: ${message}`, ...facts.map((fact) => `  ${fact}`)]
}
