import { systemClock } from '../../../io/clock.ts'
import { readFile } from '../../../io/files/read-file.ts'
import { writeQuietly } from '../policy-action.ts'
import { signRuntimePolicy } from '../sign-runtime.ts'
import { argument, runOrHelp, told, type UpstreamProgram } from './program.ts'

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
    const { envelope, files } = await signRuntimePolicy(
      await readFile(policy),
      { key, keypath: made, certOutfile: certificate, backend, upstream: true },
      systemClock.now(),
    )
    return writeQuietly(envelope, output, files)
  },
}

/** `keylime_sign_runtime_policy` (policies E.6): without arguments its usage, and status 0. */
export const runUpstream = (args: string[]): Promise<number> => runOrHelp(signPolicy, args)
