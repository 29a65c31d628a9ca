import { KeylimeError } from '../../../core/errors.ts'
import { plainPolicy } from '../../../core/ima/signed-policy.ts'
import { readFile, readText } from '../../../io/files/read-file.ts'
import { file, output, type PolicyAction, writeResult } from '../policy-action.ts'

interface Arguments {
  runtimePolicy?: string | undefined
  key?: string | undefined
  output?: string | undefined
}

/** `keylime policy verify`: the plain policy, or nothing. */
export const verify: PolicyAction<Arguments> = {
  builder: (yargs) =>
    yargs
      .usage('Checks the signature of a policy, and prints the policy if it is good.\n\nUsage: keylime policy verify [options]')
      .example('keylime policy verify --runtime-policy signed.json --key pub.pem -o policy.json', 'get the policy that was signed')
      .option('runtime-policy', file('The signed policy', ['r']))
      .option('key', file('PEM of the public EC key, or of its certificate', ['k']))
      .option('output', output),

  async run({ runtimePolicy, key, output: to }) {
    if (!runtimePolicy || !key)
      throw new KeylimeError('usage', 'a policy and a key are needed', { hint: 'give --runtime-policy FILE --key FILE' })
    return writeResult(plainPolicy(await readText(runtimePolicy), { key: await readFile(key), required: true }), to)
  },
}
