import { parseRuntimePolicy } from '../../../core/ima/runtime-policy.ts'
import { pythonJson } from '../../../core/python/python-json.ts'
import { systemClock } from '../../../io/clock.ts'
import { readText } from '../../../io/files/read-file.ts'
import { noteLine } from '../../../io/terminal/print.ts'
import { FILE_ALGORITHMS } from '../choose-algorithm.ts'
import { createRuntimePolicy, legacyListText } from '../create-runtime.ts'
import { writeQuietly } from '../policy-action.ts'
import { signRuntimePolicy } from '../sign-runtime.ts'
import { createMeasuredBoot } from './create-measured-boot.ts'
import { createdLine, NO_LOG, UPSTREAM_CREATE, upstreamNotes } from './create-options.ts'
import { argument, runProgram, type UpstreamProgram, UsageError } from './program.ts'

const createRuntime: UpstreamProgram = {
  name: 'keylime-policy create runtime',
  arguments: [
    argument('value', 'localRpmRepo', '--local-rpm-repo'),
    argument('value', 'remoteRpmRepo', '--remote-rpm-repo'),
    argument('value', 'maxWorkers', '--max-workers'),
    argument('value', 'hash', '--algo'),
    argument('value', 'ramdiskDir', '--ramdisk-dir'),
    argument('value', 'rootfs', '--rootfs'),
    argument('value', 'skipPath', '-s', '--skip-path'),
    argument('value', 'output', '-o', '--output'),
    argument('value', 'basePolicy', '-p', '--base-policy'),
    argument('flag', 'keyrings', '-k', '--keyrings'),
    argument('flag', 'imaBuf', '-b', '--ima-buf'),
    argument('value', 'allowlist', '-a', '--allowlist'),
    argument('value', 'excludeList', '-e', '--excludelist'),
    argument('optional', 'log', '-m', '--ima-measurement-list'),
    argument('append', 'ignoredKeyrings', '--ignored-keyrings'),
    argument('append', 'verificationKeys', '--add-ima-signature-verification-key'),
    argument('flag', 'legacy', '--show-legacy-allowlist'),
    argument('flag', 'verbose', '-v', '--verbose'),
  ],
  async run({ values, flags, lists }) {
    const { maxWorkers, log, output, ...texts } = values
    if (values['hash'] && !FILE_ALGORITHMS.includes(values['hash']))
      throw new UsageError(`argument --algo: invalid choice: '${values['hash']}'`)
    if (maxWorkers !== undefined && !/^[1-9]\d{0,3}$/.test(maxWorkers))
      throw new UsageError(`argument --max-workers: '${maxWorkers}' is not a positive integer.`)
    const options = {
      ...UPSTREAM_CREATE,
      ...texts,
      ...(log === undefined || log === NO_LOG ? {} : { log }),
      ...(maxWorkers ? { maxWorkers: Number(maxWorkers) } : {}),
      keyrings: flags.has('keyrings'),
      imaBuf: flags.has('imaBuf'),
      rootOwned: true,
      ignoredKeyrings: [...(lists['ignoredKeyrings'] ?? [])],
      verificationKeys: [...(lists['verificationKeys'] ?? [])],
    }
    const text = flags.has('legacy') ? legacyListText(await createRuntimePolicy(options, upstreamNotes)) : await createdLine(options)
    return writeQuietly(text, output)
  },
}

const signRuntime: UpstreamProgram = {
  name: 'keylime-policy sign runtime',
  arguments: [
    argument('value', 'output', '-o', '--output'),
    argument('value', 'policy', '-r', '--runtime-policy'),
    argument('value', 'key', '-k', '--keyfile'),
    argument('value', 'keypath', '-p', '--keypath'),
    argument('value', 'backend', '-b', '--backend'),
    argument('value', 'certOutfile', '-c', '--cert-outfile'),
  ],
  async run({ values }) {
    const { policy, output, key, keypath, certOutfile } = values
    if (policy === undefined) throw new UsageError('the following arguments are required: -r/--runtime-policy')
    const backend = values['backend']?.toLowerCase() ?? 'ecdsa'
    if (backend !== 'ecdsa' && backend !== 'x509') throw new UsageError(`argument -b/--backend: invalid choice: '${backend}'`)
    const text = await readText(policy)
    parseRuntimePolicy(text)
    const made = key ? keypath : (keypath ?? 'keylime-ecdsa-key.pem')
    const { envelope, files } = await signRuntimePolicy(
      pythonJson(JSON.parse(text)),
      { key, keypath: made, certOutfile, backend, upstream: true },
      systemClock.now(),
    )
    return writeQuietly(output === undefined || output === '/dev/stdout' ? `${envelope}\n` : envelope, output, files)
  },
}

/** By their words; a kind of policy is a line here. */
const PROGRAMS: Record<string, Record<string, UpstreamProgram>> = {
  create: { runtime: createRuntime, 'measured-boot': createMeasuredBoot },
  sign: { runtime: signRuntime },
}

/** `keylime-policy create runtime | create measured-boot | sign runtime` (policies E.5), for any user: nothing here needs root but the kernel's own log. */
export async function runUpstream(args: string[]): Promise<number> {
  const [action, kind, ...rest] = args
  if (action === undefined || action === '-h' || action === '--help') return help(process.stdout)
  const kinds = Object.hasOwn(PROGRAMS, action) ? PROGRAMS[action] : undefined
  if (kinds && (kind === '-h' || kind === '--help')) return help(process.stdout)
  const program = kinds && kind !== undefined && Object.hasOwn(kinds, kind) ? kinds[kind] : undefined
  if (program) return runProgram(program, rest)
  help(process.stderr)
  noteLine(`keylime-policy: error: invalid choice: '${kinds ? (kind ?? '') : action}'`)
  return 2
}

function help(stream: NodeJS.WriteStream): number {
  stream.write(`usage: keylime-policy [-h] ${wordsText()} ...\n`)
  return 0
}

const wordsText = () =>
  Object.entries(PROGRAMS)
    .map(([action, kinds]) => `${action} {${Object.keys(kinds).join(',')}}`)
    .join(' | ')
