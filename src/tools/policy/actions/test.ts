import { BOOT_POLICY_NAMES } from '../../../core/measured-boot/boot-policy.ts'
import { printJson, printLine, printLines } from '../../../io/terminal/print.ts'
import { file, json, type PolicyAction, tell } from '../policy-action.ts'
import { type TestOptions, testPolicies } from '../test-policy.ts'

interface Arguments extends TestOptions {
  json?: boolean | undefined
}

const ATTESTATION_FAILED = 3

/** `keylime policy test`: exit code 0 for accepted, 3 for refused. */
export const test: PolicyAction<Arguments> = {
  builder: (yargs) =>
    yargs
      .usage('Judges a machine’s logs and PCRs on this host, as the verifier would.\n\nUsage: keylime policy test [options]')
      .example(
        'keylime policy test --runtime-policy policy.json --log ima.txt --pcrs pcrs.txt',
        'find out whether the verifier would accept it',
      )
      .example('keylime policy test --mb-policy boot.json --event-log uefi.bin --pcrs pcrs.txt', 'find out whether it boots as it should')
      .example(
        'keylime policy test --tpm-policy \'{"7": ["<hex>"]}\' --pcrs pcrs.txt --json',
        'judge static PCRs, with the reasons as JSON',
      )
      .option('runtime-policy', file('The runtime policy'))
      .option('log', file('IMA log (/sys/kernel/security/ima/ascii_runtime_measurements)'))
      .option('mb-policy', file('The measured boot policy'))
      .option('mb-policy-name', {
        choices: BOOT_POLICY_NAMES,
        describe: 'Like measured_boot_policy_name of the verifier; default: example for a reference state, otherwise accept-all',
      })
      .option('event-log', file('Boot log (/sys/kernel/security/tpm0/binary_bios_measurements)'))
      .option('systemd-log', file('What systemd measured since the boot (/run/log/systemd/tpm2-measure.log)'))
      .option('tpm-policy', { type: 'string', requiresArg: true, describe: 'Static PCRs: a file, or JSON' })
      .option('pcrs', file('Output of tpm2_pcrread, printed or written with -o'))
      .option('bank', { ...file('Bank of the PCRs'), default: 'sha256' })
      .option('fail-on-violations', { type: 'boolean', describe: 'Like fail_on_violations of the verifier' })
      .option('json', json),

  async run(argv) {
    const failures = await testPolicies(argv, tell)
    if (argv.json) printJson({ accepted: failures.length === 0, failures })
    else if (failures.length === 0) printLine('accepted')
    else {
      printLine(`refused: ${failures.length} ${failures.length === 1 ? 'reason' : 'reasons'}`)
      printLines(failures.flatMap(({ eventId, context: { message, ...facts } }) => [`${eventId}: ${message}`, ...factLines(facts)]))
    }
    return failures.length === 0 ? 0 : ATTESTATION_FAILED
  },
}

const factLines = (facts: Record<string, unknown>) =>
  Object.entries(facts).map(
    ([name, value]) => `  ${name}: ${typeof value === 'string' ? JSON.stringify(value).slice(1, -1) : JSON.stringify(value)}`,
  )
