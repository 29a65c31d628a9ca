import { createTpm, type TpmCreateOptions } from '../create-tpm.ts'
import { file, output, type PolicyAction, tell, writeResult } from '../policy-action.ts'

interface Arguments extends TpmCreateOptions {
  output?: string | undefined
}

/** `keylime policy create tpm`. */
export const createTpmAction: PolicyAction<Arguments> = {
  builder: (yargs) =>
    yargs
      .usage('Makes a policy of static PCRs: values that the TPM must have.\n\nUsage: keylime policy create tpm --pcrs-list LIST [options]')
      .example('sudo keylime policy create tpm --pcrs-list 0,2,7 -o tpm.json', 'the values that the TPM of this machine has now')
      .example('keylime policy create tpm --pcrs-list 7 --pcrs pcrs.txt', 'from a file that tpm2_pcrread wrote')
      .example('keylime policy create tpm --mask 0x81 --quote quote.txt --ak ak.pem', 'from a quote, after checking its signature')
      .option('pcrs-list', { type: 'string', requiresArg: true, describe: 'PCR numbers, separated by commas' })
      .option('mask', { type: 'string', requiresArg: true, describe: 'The same, as a hexadecimal mask' })
      .option('bank', { ...file('Bank of the PCRs'), default: 'sha256' })
      .option('pcrs', file('Output of tpm2_pcrread, printed or written with -o'))
      .option('quote', file('A quote in Keylime’s format (r…:…:…)'))
      .option('ak', file('Key to verify the quote with: PEM, or the TPM’s own format'))
      .option('tcti', { type: 'string', requiresArg: true, describe: 'The TPM; default: TCTI, otherwise this machine’s TPM' })
      .option('output', output),

  run: async (argv) => writeResult(await createTpm(argv, tell), argv.output),
}
