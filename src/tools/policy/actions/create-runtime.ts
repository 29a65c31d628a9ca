import { KeylimeError } from '../../../core/errors.ts'
import { systemClock } from '../../../io/clock.ts'
import { printJson } from '../../../io/terminal/print.ts'
import { Terminal } from '../../../io/terminal/terminal.ts'
import { FILE_ALGORITHMS } from '../choose-algorithm.ts'
import { type CreateOptions, createdPieces, createRuntimePolicy, legacyListText, type Notes } from '../create-runtime.ts'
import { file, isFile, json, output, type PolicyAction, writeQuietly } from '../policy-action.ts'

interface Arguments extends CreateOptions {
  json?: boolean | undefined
  showLegacyAllowlist?: boolean | undefined
  output?: string | undefined
}

/** `keylime policy create runtime`. */
export const createRuntime: PolicyAction<Arguments> = {
  builder: (yargs) =>
    yargs
      .usage(
        'Makes a runtime policy, which says what a machine may run, from all the sources that you give.\n\nUsage: keylime policy create runtime [options]',
      )
      .example('keylime policy create runtime --log ima.txt -o policy.json', 'accept what this machine has run')
      .example('keylime policy create runtime --rootfs /mnt/image -o policy.json', 'accept all files of an image')
      .example('keylime policy create runtime --deb-installed --initrd /boot/initrd.img -o policy.json', 'accept what Debian has installed')
      .example('keylime policy create runtime --remote-deb-repo URL --package openssh-server', 'one package, whose signature is checked')
      .example('keylime policy create runtime --rpm-installed -o policy.json', 'the same for Fedora and its relatives')
      .option('log', {
        type: 'string',
        alias: ['m', 'ima-measurement-list'],
        describe: 'IMA log; without a value that of this machine (/sys/kernel/security/ima/ascii_runtime_measurements)',
      })
      .option('keyrings', { type: 'boolean', alias: 'k', default: true, describe: 'Accept the keys that the log shows' })
      .option('ima-buf', { type: 'boolean', alias: 'b', default: true, describe: 'Accept the other buffers that the log shows' })
      .option('allowlist', file('List of digests and paths, in the format of sha256sum', ['a']))
      .option('base-policy', file('A policy to add to', ['p']))
      .option('rootfs', file('Hash the files below this directory'))
      .option('skip-path', file('Directories that --rootfs leaves out, separated by commas', ['s']))
      .option('root-owned', { type: 'boolean', describe: 'With --rootfs: only files that belong to root' })
      .option('initrd', { type: 'array', string: true, describe: 'Hash the files in these initial RAM disks or unified kernel images' })
      .option('ramdisk-dir', file('Hash the initial RAM disks (initr*) in this directory, such as /boot'))
      .option('deb-installed', { type: 'string', describe: 'Files of the Debian packages installed below this directory; default: /' })
      .option('deb-package', { type: 'array', string: true, describe: 'Debian packages (.deb)' })
      .option('local-deb-repo', file('Directory with Debian packages'))
      .option('remote-deb-repo', file('URL of the directory with a list Packages'))
      .option('rpm-installed', { type: 'string', describe: 'Files of the RPM packages installed below this directory; default: /' })
      .option('rpm-package', { type: 'array', string: true, describe: 'RPM packages' })
      .option('local-rpm-repo', file('Directory with RPM packages'))
      .option('remote-rpm-repo', file('URL of the directory with repodata/'))
      .option('package', {
        type: 'array',
        string: true,
        describe: 'Packages to take from a remote repository, without their dependencies; default: all',
      })
      .option('keyring', {
        type: 'array',
        string: true,
        describe: 'Files with the OpenPGP keys that repositories must be signed with; default: those that the system trusts',
      })
      .option('allow-unsigned', { type: 'boolean', describe: 'Accept repositories that have no signature, or one by an unknown key' })
      .option('max-workers', { type: 'number', requiresArg: true, default: 8, describe: 'How many packages to read at the same time' })
      .option('hash', {
        ...file('Algorithm to hash files with; default: that of the lists, or sha256', ['algo']),
        choices: FILE_ALGORITHMS,
      })
      .option('exclude-list', file('File with one regular expression per line', ['e', 'excludelist']))
      .option('ignored-keyrings', { type: 'array', string: true, describe: 'Keyrings with keys that are not checked; "*" means all' })
      .option('verification-keys', {
        type: 'array',
        string: true,
        alias: ['add-ima-signature-verification-key'],
        describe: 'Certificates or keys that may sign files, PEM or DER',
      })
      .option('show-legacy-allowlist', { type: 'boolean', describe: 'Write a flat list of digests and paths instead of the policy' })
      .option('output', output)
      .option('json', { ...json, describe: 'Print one object per line: notes, progress, the result; needs --output' }),

  async run(argv) {
    if (!Number.isInteger(argv.maxWorkers) || argv.maxWorkers! < 1)
      throw new KeylimeError('usage', '--max-workers is a whole number, one or more')
    if (argv.json && !isFile(argv.output))
      throw new KeylimeError('usage', '--json needs --output FILE', { hint: 'standard output gets the events, the file the policy' })
    const terminal = new Terminal({ stream: process.stderr, env: process.env })
    const notes = argv.json ? jsonNotes : { tell: (note: string) => terminal.line(note), progress: (note: string) => terminal.live(note) }
    const parts = await createRuntimePolicy(argv, notes).finally(() => terminal.end())
    await writeQuietly(argv.showLegacyAllowlist ? legacyListText(parts) : createdPieces(parts, systemClock.now()), argv.output)
    const outcome = { output: argv.output, names: parts.digests.size, excludes: parts.excludes.size }
    if (argv.json) printJson({ result: 'policy', ...outcome })
    else if (isFile(argv.output))
      terminal.line(`${argv.output}: ${counted(outcome.names, 'name')}, ${counted(outcome.excludes, 'exclude')}`)
    return 0
  },
}

const counted = (count: number, what: string): string => `${count} ${what}${count === 1 ? '' : 's'}`

const jsonNotes: Notes = {
  tell: (text) => printJson({ event: 'note', text }),
  progress: (text) => printJson({ event: 'progress', text }),
}
