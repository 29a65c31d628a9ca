import { KeylimeError } from '../../../core/errors.ts'
import { parseRuntimePolicy } from '../../../core/ima/runtime-policy.ts'
import { systemClock } from '../../../io/clock.ts'
import { readText } from '../../../io/files/read-file.ts'
import { ofFile } from '../of-file.ts'
import { file, output, type PolicyAction, tell, writeResult } from '../policy-action.ts'
import { type SigningOptions, signRuntimePolicy } from '../sign-runtime.ts'

interface Arguments extends SigningOptions {
  runtimePolicy?: string | undefined
  output?: string | undefined
}

/** `keylime policy sign`: only a policy that the verifier would take. */
export const sign: PolicyAction<Arguments> = {
  builder: (yargs) =>
    yargs
      .usage('Signs a runtime policy (DSSE), so that only the holder of a key can change it.\n\nUsage: keylime policy sign [options]')
      .example('keylime policy sign -r policy.json --keypath key.pem -o signed.json', 'with a new key; verify with key.pem.pub')
      .example('keylime policy sign -r policy.json --key key.pem -o signed.json', 'with a key that you have')
      .option('runtime-policy', file('The runtime policy', ['r']))
      .option('key', file('PEM of the private EC key', ['k', 'keyfile']))
      .option('keypath', file('Make a key and write it to this file, and the public key to the same name with .pub', ['p']))
      .option('backend', {
        ...file('Key id in the signature: a digest of the key, or a certificate', ['b']),
        choices: ['ecdsa', 'x509'],
        default: 'ecdsa',
        coerce: (name: string) => name.toLowerCase(),
      })
      .option('cert-outfile', file('x509: write the certificate to this file', ['c']))
      .option('output', output),

  async run({ runtimePolicy, output: to, ...options }) {
    if (!runtimePolicy) throw new KeylimeError('usage', 'there is no policy to sign', { hint: 'give --runtime-policy FILE and --key FILE' })
    const policy = await readText(runtimePolicy)
    ofFile(runtimePolicy, () => parseRuntimePolicy(policy))
    const { envelope, files } = await signRuntimePolicy(policy, options, systemClock.now())
    const status = await writeResult(`${envelope}\n`, to, files)
    if (options.keypath) tell(`key ${options.keypath} made; its public half, ${options.keypath}.pub, verifies what it signs`)
    return status
  },
}
