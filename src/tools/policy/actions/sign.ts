import { KeylimeError } from '../../../core/errors.ts'
import { parseRuntimePolicy } from '../../../core/ima/runtime-policy.ts'
import { signPolicy } from '../../../core/ima/signed-policy.ts'
import { file, output, type PolicyAction, writeResult } from '../action.ts'
import { readInput, readTextInput } from '../read-input.ts'

interface Arguments {
  runtimePolicy?: string | undefined
  key?: string | undefined
  output?: string | undefined
}

/** `keylime policy sign`: only a policy that the verifier would take. */
export const sign: PolicyAction<Arguments> = {
  builder: (yargs) =>
    yargs
      .usage('Signs a runtime policy (DSSE), so that only the holder of a key can change it.\n\nUsage: keylime policy sign [options]')
      .example('keylime policy sign --runtime-policy policy.json --key key.pem -o signed.json', 'with a key that you have')
      .option('runtime-policy', file('The runtime policy', ['r']))
      .option('key', file('PEM of the private EC key', ['k', 'keyfile']))
      .option('output', output),

  async run({ runtimePolicy, key, output: to }) {
    if (!runtimePolicy || !key)
      throw new KeylimeError('usage', 'a policy and a key are needed', { hint: 'give --runtime-policy FILE --key FILE' })
    const policy = await readTextInput(runtimePolicy)
    parseRuntimePolicy(policy)
    return writeResult(`${signPolicy(policy, await readInput(key))}\n`, to)
  },
}
