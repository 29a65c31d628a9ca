import { systemClock } from '../../../io/clock.ts'
import { file, output, type PolicyAction, tell, writeResult } from '../action.ts'
import { type CreateOptions, createRuntimePolicy } from '../create-runtime.ts'

interface Arguments extends CreateOptions {
  output?: string | undefined
}

/** `keylime policy create runtime`. */
export const createRuntime: PolicyAction<Arguments> = {
  builder: (yargs) =>
    yargs
      .usage(
        'Makes a runtime policy, what a machine may run, of all the sources that are given.\n\nUsage: keylime policy create runtime [options]',
      )
      .example('keylime policy create runtime --log ima.txt -o policy.json', 'accept what this machine has run')
      .example('keylime policy create runtime --rootfs /mnt/image -o policy.json', 'accept all files of an image')
      .option('log', file('IMA log (/sys/kernel/security/ima/ascii_runtime_measurements)', ['m', 'ima-measurement-list']))
      .option('allowlist', file('List of digests and paths, as sha256sum prints them', ['a']))
      .option('base-policy', file('A policy to add to', ['p']))
      .option('rootfs', file('Hash the files below this directory'))
      .option('hash', { ...file('Algorithm of --rootfs', ['algo']), choices: ['sha1', 'sha256', 'sha384', 'sha512'], default: 'sha256' })
      .option('exclude-list', file('File with a regular expression a line', ['e', 'excludelist']))
      .option('ignored-keyrings', { type: 'array', string: true, describe: 'Keyrings whose keys are not checked; "*" is all' })
      .option('output', output),

  run: async (argv) => writeResult(await createRuntimePolicy(argv, systemClock.now(), tell), argv.output),
}
