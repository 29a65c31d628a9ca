import { type BootCreateOptions, createMeasuredBootPolicy } from '../create-measured-boot.ts'
import { file, output, type PolicyAction, tell, writeResult } from '../policy-action.ts'

interface Arguments extends BootCreateOptions {
  output?: string | undefined
}

/** `keylime policy create measured-boot`. */
export const createMeasuredBoot: PolicyAction<Arguments> = {
  builder: (yargs) =>
    yargs
      .usage(
        'Makes a reference state, which says how a machine may boot, from the log of a good boot.\n\nUsage: keylime policy create measured-boot [options]',
      )
      .example('keylime policy create measured-boot --event-log uefi.bin -o boot.json', 'accept machines that boot like this one')
      .example('keylime policy create measured-boot -i -e uefi.bin -o boot.json', 'for a machine without Secure Boot')
      .option('event-log', file('Boot log (/sys/kernel/security/tpm0/binary_bios_measurements)', ['e', 'eventlog-file']))
      .option('without-secureboot', {
        type: 'boolean',
        alias: ['i'],
        describe: 'Accept that Secure Boot is off in the log and on machines',
      })
      .option('bank', file('Bank of the quotes (tpm_hash_alg of the agent); default: sha256, or the bank of a log without it'))
      .option('output', output),

  run: async (argv) => writeResult(await createMeasuredBootPolicy(argv, tell), argv.output),
}
