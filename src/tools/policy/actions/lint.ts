import { KeylimeError } from '../../../core/errors.ts'
import { parseRuntimePolicy } from '../../../core/ima/runtime-policy.ts'
import { plainPolicy } from '../../../core/ima/signed-policy.ts'
import { parseBootPolicyText } from '../../../core/measured-boot/boot-policy.ts'
import { lintBootPolicy, lintTpmPolicy } from '../../../core/policy/lint-pcr-policy.ts'
import { lintPolicy } from '../../../core/policy/lint-policy.ts'
import { policyKind } from '../../../core/policy/merge-policies.ts'
import type { PolicyWarning } from '../../../core/policy/policy-warning.ts'
import { readText } from '../../../io/files/read-file.ts'
import { printJson, printLines } from '../../../io/terminal/print.ts'
import { ofFile } from '../of-file.ts'
import { file, json, type PolicyAction } from '../policy-action.ts'

interface Arguments {
  file?: string | undefined
  runtimePolicy?: string | undefined
  json?: boolean | undefined
}

/** `keylime policy lint`: exit code 1 when there is something to tell. */
export const lint: PolicyAction<Arguments> = {
  builder: (yargs) =>
    yargs
      .usage('Finds what in a policy is valid but probably a mistake.\n\nUsage: keylime policy lint FILE [options]')
      .example('keylime policy lint policy.json', 'find excludes that are too wide, and weak digests')
      .example('keylime policy lint tpm.json --json', 'check static PCRs, for a script')
      .positional('file', { type: 'string', describe: 'A policy of any kind' })
      .option('runtime-policy', file('The same as FILE, for a runtime policy'))
      .option('json', json),

  async run(argv) {
    const name = argv.file ?? argv.runtimePolicy
    if (!name) throw new KeylimeError('usage', 'there is no policy to check', { hint: 'keylime policy lint FILE' })
    const text = await readText(name)
    const warnings = ofFile(name, () =>
      lintText(plainPolicy(text, { key: null, required: false }), argv.runtimePolicy === undefined ? null : 'runtime'),
    )
    if (argv.json) printJson(warnings)
    else printLines(warnings.map(({ path, message }) => `${path}: ${message}`))
    return warnings.length === 0 ? 0 : 1
  },
}

function lintText(text: string, expected: 'runtime' | null): PolicyWarning[] {
  const policy = JSON.parse(text) as Record<string, unknown>
  const kind = expected ?? policyKind(policy)
  if (kind === 'runtime') return lintPolicy(parseRuntimePolicy(text))
  return kind === 'tpm' ? lintTpmPolicy(text) : lintBootPolicy(parseBootPolicyText(text) ?? {})
}
