import { usageText } from '../../../core/cli/argparse.ts'
import { systemClock } from '../../../io/clock.ts'
import { writeResult } from '../action.ts'
import { readInput } from '../read-input.ts'
import { signRuntimePolicy } from '../sign-runtime.ts'
import { argument, runProgram, type UpstreamProgram } from './program.ts'

const signPolicy: UpstreamProgram = {
  name: 'keylime_sign_runtime_policy',
  errorFirst: true,
  arguments: [
    argument('value', 'policy', '-r', '--runtime_policy'),
    argument('value', 'key', '-k', '--keyfile'),
    argument('value', 'keypath', '-p', '--keypath'),
    argument('value', 'backend', '-b', '--backend'),
    argument('value', 'output', '-o', '--output_file'),
    argument('value', 'certificate', '-c', '--certificate_output_file'),
  ],
  async run({ values: { policy, key, keypath, backend = 'ecdsa', output, certificate = 'certificate.crt' } }) {
    if (!policy) return told('Runtime policy is required!')
    if (backend !== 'ecdsa' && backend !== 'x509') return told('Unsupported DSSE backend!')
    if (key && keypath) return told('Only one of -k and -p may be specified at once!')
    if (!output) return told('An output file path (-o, --output_file) is required to write new policy!')
    const made = key ? undefined : keypath || 'keylime-ecdsa-key'
    // The bytes as they are: this program has never looked into them.
    const signed = await signRuntimePolicy(
      await readInput(policy),
      { key, keypath: made, certOutfile: certificate, backend, upstream: true },
      systemClock.now(),
    )
    return writeResult(signed, output)
  },
}

function told(message: string): number {
  process.stdout.write(`${message}\n`)
  return 1
}

/** `keylime_sign_runtime_policy` (policies-config-cli E.6): without arguments its usage, and status 0. */
export async function runUpstream(args: string[]): Promise<number> {
  if (args.length > 0) return runProgram(signPolicy, args)
  process.stdout.write(usageText(signPolicy.name, signPolicy.arguments))
  return 0
}
