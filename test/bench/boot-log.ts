import { type BootPolicyName, parseBootPolicy } from '../../src/core/measured-boot/boot-policy.ts'
import { parseEventLog } from '../../src/core/measured-boot/event-log.ts'
import { machineLog, machineState, replayedPcrs } from '../boot-log.ts'
import { perSecond } from './per-second.ts'
import { printTable } from './table.ts'

/** Boot logs of real machines: parsed and replayed, and compared with their reference state too. */
export function benchBootLog(): void {
  const rows = ['secure-boot-ima-ng', 'no-secure-boot'].map((machine) => {
    const log = machineLog(machine)
    const pcrs = replayedPcrs(log)
    const state = JSON.stringify(machineState(machine))
    const judging = (name: BootPolicyName) => {
      const policy = parseBootPolicy(state, name)!
      return () => {
        if (policy.judge({ pcrs, log, evaluate: true }).failures.length > 0) throw new Error('the boot log of the benchmark does not pass')
      }
    }
    const rate = (work: () => void) => Math.round(perSecond(work)).toLocaleString('en')
    return [machine, `${parseEventLog(log).events.length}`, `${log.length}`, rate(judging('accept-all')), rate(judging('example'))]
  })
  printTable('boot logs judged per second and core', ['machine', 'events', 'bytes', 'parse + replay', '+ example'], rows)
}
