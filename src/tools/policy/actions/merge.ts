import { KeylimeError } from '../../../core/errors.ts'
import { mergePolicies } from '../../../core/policy/merge-policies.ts'
import { systemClock } from '../../../io/clock.ts'
import { readText } from '../../../io/files/read-file.ts'
import { output, type PolicyAction, writeResult } from '../policy-action.ts'

interface Arguments {
  files: string[]
  output?: string | undefined
}

/** `keylime policy merge`. */
export const merge: PolicyAction<Arguments> = {
  builder: (yargs) =>
    yargs
      .usage(
        'Adds other policies or changes to a policy. The result still accepts everything that the policy accepts.\n\nUsage: keylime policy merge FILE FILE… [options]',
      )
      .example('keylime policy merge web.json database.json -o both.json', 'accept what either accepts')
      .example('keylime policy merge policy.json accept.json -o policy.json', 'accept the change that a failure names')
      .positional('files', { type: 'string', array: true, describe: 'The policy, then what to add: policies, parts of them, failures' })
      .option('output', output),

  async run({ files, output: to }) {
    const [base, ...additions] = await Promise.all(files.map(async (file) => ({ file, text: await readText(file) })))
    if (!base || additions.length === 0)
      throw new KeylimeError('usage', 'there is nothing to merge', { hint: 'keylime policy merge POLICY ADDITION…' })
    return writeResult(mergePolicies(base, additions, new Date(systemClock.now()).toISOString()), to)
  },
}
