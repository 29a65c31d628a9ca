import { BOOT_POLICY_NAMES } from '../../../core/measured-boot/boot-policy.ts'
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
      .usage('The verifier’s own judgement of a machine’s logs and PCRs, here.\n\nUsage: keylime policy test [options]')
      .example('keylime policy test --runtime-policy policy.json --log ima.txt --pcrs pcrs.txt', 'would it be accepted?')
      .example('keylime policy test --mb-policy boot.json --event-log uefi.bin --pcrs pcrs.txt', 'does it boot as it should?')
      .example('keylime policy test --tpm-policy \'{"7": ["<hex>"]}\' --pcrs pcrs.txt --json', 'static PCRs, the reasons as JSON')
      .option('runtime-policy', file('The runtime policy'))
      .option('log', file('IMA log (/sys/kernel/security/ima/ascii_runtime_measurements)'))
      .option('mb-policy', file('The measured boot policy'))
      .option('mb-policy-name', {
        choices: BOOT_POLICY_NAMES,
        describe: 'As the verifier’s option measured_boot_policy_name; by default example for a reference state, else accept-all',
      })
      .option('event-log', file('Boot log (/sys/kernel/security/tpm0/binary_bios_measurements)'))
      .option('systemd-log', file('What systemd measured since the boot (/run/log/systemd/tpm2-measure.log)'))
      .option('tpm-policy', { type: 'string', requiresArg: true, describe: 'Static PCRs: a file, or JSON' })
      .option('pcrs', file('What tpm2_pcrread printed, or wrote with -o'))
      .option('bank', { ...file('Bank of the PCRs'), default: 'sha256' })
      .option('fail-on-violations', { type: 'boolean', describe: 'As the verifier’s option fail_on_violations' })
      .option('json', json),

  async run(argv) {
    const failures = await testPolicies(argv, tell)
    if (argv.json) process.stdout.write(`${JSON.stringify({ accepted: failures.length === 0, failures })}\n`)
    else if (failures.length === 0) process.stdout.write('accepted\n')
    else {
      const lines = failures.map(({ eventId, context: { message, ...facts } }) => `${eventId}: ${message}\n${factLines(facts)}`)
      process.stdout.write(`refused: ${failures.length} ${failures.length === 1 ? 'reason' : 'reasons'}\n${lines.join('')}`)
    }
    return failures.length === 0 ? 0 : ATTESTATION_FAILED
  },
}

const factLines = (facts: Record<string, unknown>) =>
  Object.entries(facts)
    .map(([name, value]) => `  ${name}: ${typeof value === 'string' ? JSON.stringify(value).slice(1, -1) : JSON.stringify(value)}\n`)
    .join('')
