import type { Argv } from 'yargs'
import { KeylimeError } from '../../core/errors.ts'
import { lintPolicy } from '../../core/ima/lint-policy.ts'
import { parseRuntimePolicy } from '../../core/ima/runtime-policy.ts'
import { plainPolicy, signPolicy } from '../../core/ima/signed-policy.ts'
import { systemClock } from '../../io/clock.ts'
import { writeFileAtomic } from '../../io/files/atomic-file.ts'
import { type CreateOptions, createRuntimePolicy } from './create-runtime.ts'
import { readInput, readTextInput } from './read-input.ts'
import { type TestOptions, testPolicies } from './test-policy.ts'

interface Arguments extends CreateOptions, TestOptions {
  action: string
  kind?: string | undefined
  output?: string | undefined
  key?: string | undefined
  json?: boolean | undefined
}

const ATTESTATION_FAILED = 3
const file = (describe: string) => ({ type: 'string', requiresArg: true, describe }) as const

/** `keylime policy create runtime | test | lint | sign | verify`. */
export const command = {
  builder: (yargs: Argv): Argv<Arguments> =>
    yargs
      .usage(
        'Makes, tests and checks policies: what machines may run.\n\nUsage: keylime policy create runtime | test | lint | sign | verify [options]',
      )
      .example('keylime policy create runtime --log ima.txt -o policy.json', 'accept what this machine has run')
      .example('keylime policy create runtime --rootfs /mnt/image -o policy.json', 'accept all files of an image')
      .example('keylime policy test --runtime-policy policy.json --log ima.txt --pcrs pcrs.txt', 'the verifier’s judgement, here')
      .example('keylime policy lint --runtime-policy policy.json', 'excludes that are too wide, weak digests')
      .positional('action', { choices: ['create', 'test', 'lint', 'sign', 'verify'] as const, demandOption: true, describe: 'What to do' })
      .positional('kind', { choices: ['runtime'] as const, describe: 'create: which kind of policy' })
      .option('log', file('IMA log (/sys/kernel/security/ima/ascii_runtime_measurements)'))
      .option('allowlist', file('create: list of digests and paths, as sha256sum prints them'))
      .option('base-policy', file('create: a policy to add to'))
      .option('rootfs', file('create: hash the files below this directory'))
      .option('hash', { ...file('create: algorithm of --rootfs'), choices: ['sha1', 'sha256', 'sha384', 'sha512'], default: 'sha256' })
      .option('exclude-list', file('create: file with a regular expression a line'))
      .option('ignored-keyrings', { type: 'array', string: true, describe: 'create: keyrings whose keys are not checked; "*" is all' })
      .option('output', { ...file('create, sign, verify: where the policy is written; standard output without it'), alias: 'o' })
      .option('runtime-policy', file('test, lint, sign, verify: the runtime policy'))
      .option('key', file('sign: PEM of the private EC key; verify: of the public key'))
      .option('mb-policy', file('test: the measured boot policy'))
      .option('event-log', file('test: boot log (/sys/kernel/security/tpm0/binary_bios_measurements)'))
      .option('tpm-policy', { type: 'string', requiresArg: true, describe: 'test: static PCRs, JSON' })
      .option('pcrs', file('test: what tpm2_pcrread printed'))
      .option('bank', { ...file('test: bank of the PCRs'), default: 'sha256' })
      .option('fail-on-violations', { type: 'boolean', describe: 'test: as the verifier’s option fail_on_violations' })
      .option('json', { type: 'boolean', describe: 'test, lint: the result as JSON' }) as unknown as Argv<Arguments>,

  async run(argv: Arguments): Promise<number> {
    return ACTIONS[argv.action as keyof typeof ACTIONS](argv)
  },
}

async function create(argv: Arguments): Promise<number> {
  if (argv.kind !== 'runtime') throw new KeylimeError('usage', 'say which kind of policy', { hint: 'keylime policy create runtime …' })
  const text = await createRuntimePolicy(argv, systemClock.now(), (note) => process.stderr.write(`${note}\n`))
  return write(text, argv)
}

async function write(text: string, { output }: Arguments): Promise<number> {
  if (output) await writeFileAtomic(output, text, 0o644)
  else process.stdout.write(text)
  return 0
}

/** Signs a policy that the verifier would take. */
async function sign(argv: Arguments): Promise<number> {
  const [policy, key] = await signedInputs(argv)
  parseRuntimePolicy(policy)
  return write(`${signPolicy(policy, key)}\n`, argv)
}

/** The policy in an envelope whose signature is good. */
async function verify(argv: Arguments): Promise<number> {
  const [policy, key] = await signedInputs(argv)
  return write(plainPolicy(policy, { key, required: true }), argv)
}

async function signedInputs({ runtimePolicy, key }: Arguments): Promise<[policy: string, key: Buffer]> {
  if (!runtimePolicy || !key)
    throw new KeylimeError('usage', 'a policy and a key are needed', { hint: 'give --runtime-policy FILE --key FILE' })
  return [await readTextInput(runtimePolicy), await readInput(key)]
}

async function test(argv: Arguments): Promise<number> {
  const failures = await testPolicies(argv)
  if (argv.json) process.stdout.write(`${JSON.stringify({ accepted: failures.length === 0, failures })}\n`)
  else if (failures.length === 0) process.stdout.write('accepted\n')
  else {
    const lines = failures.map(({ eventId, context: { message, ...facts } }) => `${eventId}: ${message}\n${factLines(facts)}`)
    process.stdout.write(`refused: ${failures.length} ${failures.length === 1 ? 'reason' : 'reasons'}\n${lines.join('')}`)
  }
  return failures.length === 0 ? 0 : ATTESTATION_FAILED
}

const factLines = (facts: Record<string, unknown>) =>
  Object.entries(facts)
    .map(([name, value]) => `  ${name}: ${typeof value === 'string' ? JSON.stringify(value).slice(1, -1) : JSON.stringify(value)}\n`)
    .join('')

async function lint(argv: Arguments): Promise<number> {
  if (!argv.runtimePolicy) throw new KeylimeError('usage', 'there is no policy to check', { hint: 'give --runtime-policy FILE' })
  const text = plainPolicy(await readTextInput(argv.runtimePolicy), { key: null, required: false })
  const warnings = lintPolicy(parseRuntimePolicy(text), (JSON.parse(text) as { excludes: string[] }).excludes)
  if (argv.json) process.stdout.write(`${JSON.stringify(warnings)}\n`)
  else for (const { path, message } of warnings) process.stdout.write(`${path}: ${message}\n`)
  return warnings.length === 0 ? 0 : 1
}

const ACTIONS = { create, test, lint, sign, verify }
