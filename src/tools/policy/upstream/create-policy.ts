import { KERNEL_LOG } from '../create-runtime.ts'
import { writeQuietly } from '../policy-action.ts'
import { createdLine, NO_LOG, UPSTREAM_CREATE } from './create-options.ts'
import { argument, runProgram, type UpstreamProgram } from './program.ts'

const createPolicy: UpstreamProgram = {
  name: 'keylime_create_policy',
  arguments: [
    argument('value', 'basePolicy', '-B', '--base-policy'),
    argument('flag', 'keyrings', '-k', '--keyrings'),
    argument('flag', 'imaBuf', '-b', '--ima-buf'),
    argument('value', 'allowlist', '-a', '--allowlist'),
    argument('value', 'log', '-m', '--ima-measurement-list'),
    argument('append', 'ignoredKeyrings', '-i', '--ignored-keyrings'),
    argument('value', 'output', '-o', '--output'),
    argument('flag', 'noHashes', '--no-hashes'),
    argument('append', 'verificationKeys', '-A', '--add-ima-signature-verification-key'),
    argument('value', 'excludeList', '-e', '--exclude'),
    argument('value', 'localRpmRepo', '-l', '--local-repo'),
    argument('value', 'remoteRpmRepo', '-r', '--remote-repo'),
  ],
  async run({ values, flags, lists }) {
    const { basePolicy, allowlist, excludeList, localRpmRepo, remoteRpmRepo, output, log = KERNEL_LOG } = values
    // One source of digests: the first of these that is given, else the log. Keys and buffers come from the log in any case.
    const digests = allowlist ? { allowlist } : localRpmRepo ? { localRpmRepo } : remoteRpmRepo ? { remoteRpmRepo } : null
    const members = { keyrings: flags.has('keyrings'), imaBuf: flags.has('imaBuf') }
    const files = digests === null && !flags.has('noHashes')
    const line = await createdLine({
      ...UPSTREAM_CREATE,
      ...members,
      ...digests,
      ...(log === NO_LOG || !(files || members.keyrings || members.imaBuf) ? {} : { log, logFiles: files }),
      basePolicy,
      excludeList,
      ignoredKeyrings: [...(lists['ignoredKeyrings'] ?? [])],
      verificationKeys: [...(lists['verificationKeys'] ?? [])],
    })
    return writeQuietly(output ? line : `${line}\n`, output)
  },
}

/** `keylime_create_policy` (policies E.6). */
export const runUpstream = (args: string[]): Promise<number> => runProgram(createPolicy, args)
