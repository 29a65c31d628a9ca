import { parseBootPolicy } from '../../../src/core/measured-boot/boot-policy.ts'
import { machineLog, machineState, replayedPcrs } from '../../boot-log.ts'
import { demand, type Target, unlessRefused } from '../target.ts'

const MACHINE = 'no-secure-boot'
let evidence: { log: Buffer; pcrs: never } | undefined

/** Reference states of policy `example`: checked whole, and then a machine can be judged by any that is accepted. */
export const referenceState: Target = {
  seeds: () => ['no-secure-boot', 'secure-boot-ima-ng'].map((machine) => Buffer.from(JSON.stringify(machineState(machine)))),
  maxBytes: 12_288,
  words: ['"has_secureboot"', '"scrtm_and_bios"', '"kernels"', '"kernel_cmdline"', '"mokdig"', '"pk"', '"vendor_db"', '"__proto__"', '"0x'],
  run(input) {
    const text = input.toString('utf8')
    const policies = (['example', 'accept-all'] as const).map((name) =>
      unlessRefused(['invalid_request'], () => parseBootPolicy(text, name)),
    )
    evidence ??= { log: machineLog(MACHINE), pcrs: replayedPcrs(machineLog(MACHINE)) }
    const [example] = policies.map((policy) => policy?.judge({ ...evidence!, evaluate: true }).failures)
    if (example?.length === 0) demand(JSON.parse(text).has_secureboot === false, 'a machine without Secure Boot passes for one with it')
  },
}
