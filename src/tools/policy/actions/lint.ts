import { KeylimeError } from '../../../core/errors.ts'
import { lintPolicy } from '../../../core/ima/lint-policy.ts'
import { parseRuntimePolicy } from '../../../core/ima/runtime-policy.ts'
import { plainPolicy } from '../../../core/ima/signed-policy.ts'
import { file, json, type PolicyAction } from '../action.ts'
import { readTextInput } from '../read-input.ts'

interface Arguments {
  runtimePolicy?: string | undefined
  json?: boolean | undefined
}

/** `keylime policy lint`: exit code 1 when there is something to tell. */
export const lint: PolicyAction<Arguments> = {
  builder: (yargs) =>
    yargs
      .usage('Tells what in a policy is valid and probably not meant.\n\nUsage: keylime policy lint [options]')
      .example('keylime policy lint --runtime-policy policy.json', 'excludes that are too wide, weak digests')
      .option('runtime-policy', file('The runtime policy'))
      .option('json', json),

  async run(argv) {
    if (!argv.runtimePolicy) throw new KeylimeError('usage', 'there is no policy to check', { hint: 'give --runtime-policy FILE' })
    const text = plainPolicy(await readTextInput(argv.runtimePolicy), { key: null, required: false })
    const warnings = lintPolicy(parseRuntimePolicy(text), (JSON.parse(text) as { excludes: string[] }).excludes)
    if (argv.json) process.stdout.write(`${JSON.stringify(warnings)}\n`)
    else for (const { path, message } of warnings) process.stdout.write(`${path}: ${message}\n`)
    return warnings.length === 0 ? 0 : 1
  },
}
