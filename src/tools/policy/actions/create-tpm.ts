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
      .example('sudo keylime policy create tpm --pcrs-list 0,2,7 -o tpm.json', 'what the TPM of this machine has now')
      .example('keylime policy create tpm --pcrs-list 7 --pcrs pcrs.txt', 'of a file that tpm2_pcrread made')
      .example('keylime policy create tpm --mask 0x81 --quote quote.txt --ak ak.pem', 'of a quote whose signature is checked')
      .option('pcrs-list', { type: 'string', requiresArg: true, describe: 'PCR numbers with commas between' })
      .option('mask', { type: 'string', requiresArg: true, describe: 'The same as a hexadecimal set' })
      .option('bank', { ...file('Bank of the PCRs'), default: 'sha256' })
      .option('pcrs', file('What tpm2_pcrread printed, or wrote with -o'))
      .option('quote', file('A quote in Keylime’s form (r…:…:…)'))
      .option('ak', file('Key that the quote is verified with: PEM, or the TPM’s own form'))
      .option('tcti', { type: 'string', requiresArg: true, describe: 'The TPM; default: TCTI, else this machine’s' })
      .option('output', output),

  run: async (argv) => writeResult(await createTpm(argv, tell), argv.output),
}
