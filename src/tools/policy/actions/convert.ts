import { KeylimeError } from '../../../core/errors.ts'
import { expressionsOf } from '../../../core/ima/collect-digests.ts'
import { convertLegacyPolicy } from '../../../core/ima/legacy-allow-list.ts'
import { systemClock } from '../../../io/clock.ts'
import { readText } from '../../../io/files/read-file.ts'
import { ofFile } from '../of-file.ts'
import { file, output, type PolicyAction, tell, writeResult } from '../policy-action.ts'
import { readImaKeys } from '../read-ima-keys.ts'

interface Arguments {
  file?: string | undefined
  allowlist?: string | undefined
  runtimePolicy?: string | undefined
  excludeList?: string | undefined
  verificationKeys?: string[] | undefined
  output?: string | undefined
}

const FORMS = { flat: 'a flat allow list', json: 'a JSON allow list', 'old-policy': 'an old runtime policy', policy: 'a runtime policy' }

/** `keylime policy convert`. */
export const convert: PolicyAction<Arguments> = {
  builder: (yargs) =>
    yargs
      .usage('Makes a runtime policy from a list or a policy in an old format.\n\nUsage: keylime policy convert FILE [options]')
      .example('keylime policy convert allowlist.txt -e excludes.txt -o policy.json', 'lines as sha256sum prints them')
      .example('keylime policy convert old.json -v ima-key.pem -o policy.json', 'with a key for signed files')
      .positional('file', { type: 'string', describe: 'Allow list (flat or JSON), or runtime policy of an older version' })
      .option('allowlist', { ...file('The same as FILE (upstream’s form)', ['a']), hidden: true })
      .option('runtime-policy', { ...file('The same as FILE (upstream’s form)', ['r', 'runtime_policy']), hidden: true })
      .option('exclude-list', file('File with one regular expression per line', ['e', 'excludelist']))
      .option('verification-keys', {
        type: 'array',
        string: true,
        alias: ['v', 'verification_keys', 'add-ima-signature-verification-key'],
        describe: 'Certificates or keys that may sign files, PEM or DER',
      })
      .option('output', { ...output, alias: ['o', 'output_file'] }),

  async run(argv) {
    const source = argv.file ?? argv.allowlist ?? argv.runtimePolicy
    if (!source) throw new KeylimeError('usage', 'there is nothing to convert', { hint: 'keylime policy convert FILE -o policy.json' })
    const given = {
      text: await readText(source),
      source,
      excludes: argv.excludeList ? expressionsOf(await readText(argv.excludeList)) : [],
      keys: await readImaKeys(argv.verificationKeys ?? []),
      timestamp: new Date(systemClock.now()).toISOString(),
    }
    const { policy, form, unread } = ofFile(source, () => convertLegacyPolicy(given))
    tell(`${source} is ${FORMS[form]}`)
    if (unread.length > 0) tell(`${source}: ${unread.length} lines cannot be read and are left out, the first is line ${unread[0]}`)
    return writeResult(policy, argv.output)
  },
}
