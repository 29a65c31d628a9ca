import path from 'node:path'
import { expressionsOf } from '../../../core/ima/collect-digests.ts'
import { convertLegacyPolicy, type LegacyForm } from '../../../core/ima/legacy-allow-list.ts'
import { pythonJson } from '../../../core/python/python-json.ts'
import { systemClock } from '../../../io/clock.ts'
import { readText } from '../../../io/files/read-file.ts'
import { writeQuietly } from '../policy-action.ts'
import { readImaKeys } from '../read-ima-keys.ts'
import { argument, runOrHelp, told, type UpstreamProgram } from './program.ts'

const convertPolicy: UpstreamProgram = {
  name: 'keylime_convert_runtime_policy',
  errorFirst: true,
  arguments: [
    argument('value', 'allowlist', '-a', '--allowlist'),
    argument('value', 'policy', '-r', '--runtime_policy'),
    argument('value', 'excludeList', '-e', '--excludelist'),
    argument('several', 'keys', '-v', '--verification_keys'),
    argument('value', 'output', '-o', '--output_file'),
  ],
  async run({ values: { allowlist, policy: old, excludeList, output }, lists }) {
    if (allowlist && old) return told('Cannot provide both --allowlist and --runtime-policy!')
    const source = allowlist || old
    if (!source) return told('Either --allowlist or --runtime_policy is required!')
    if (!output) return told('An output file path (-o, --output_file) is required to write new policy!')
    const { policy, form, unread } = convertLegacyPolicy({
      text: await readText(source),
      source,
      excludes: excludeList ? expressionsOf(await readText(excludeList)) : [],
      keys: await readImaKeys(lists['keys'] ?? []),
      timestamp: new Date(systemClock.now()).toISOString(),
    })
    if (allowlist && (form === 'policy' || form === 'old-policy'))
      return told(`${path.basename(source)} is a runtime policy already: give it with -r`)
    if (NOTES[form]) process.stdout.write(`${path.basename(source)} ${NOTES[form]}\n`)
    for (const line of unread) process.stdout.write(`Line #${line - 1} in Allowlist does not consist of hash and file path\n`)
    return writeQuietly(pythonJson(JSON.parse(policy)), output)
  },
}

const NOTES: Partial<Record<LegacyForm, string>> = {
  json: 'appears to be JSON-formatted; converting to IMA policy',
  flat: 'is not JSON-formatted; attempting to convert to IMA policy from flat file format',
}

/** `keylime_convert_runtime_policy` (policies E.6): without arguments its usage, and status 0. */
export const runUpstream = (args: string[]): Promise<number> => runOrHelp(convertPolicy, args)
