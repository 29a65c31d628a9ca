import { type UnitState, unitState } from '../../../io/programs/unit-state.ts'
import type { Subject } from '../check.ts'
import { type Finding, findingsOf } from '../finding.ts'

const { ok, note, warning, error } = findingsOf('service')

/** Whether systemd has the service of a role, and whether it stays up. Nothing where no systemd runs, as in a container. */
export async function checkService({ role, signal }: Subject): Promise<Finding[]> {
  const unit = `keylime-${role}.service`
  const state = await unitState(unit, signal)
  return state ? judgeService(role, unit, state) : []
}

export function judgeService(role: string, unit: string, state: UnitState): Finding[] {
  const { LoadState, ActiveState, SubState, Result, ExecMainStatus, NRestarts = '0', UnitFileState } = state
  if (LoadState === 'not-found')
    return [note(`there is no ${unit}`, `the ${role} is not a service of this machine`, `keylime service install ${role}`)]
  if (LoadState !== 'loaded') return [error(`systemd cannot read ${unit} (${LoadState})`, 'it does not start', `systemctl status ${unit}`)]
  const how = `${Result}, exit code ${ExecMainStatus}, restarted ${NRestarts} times`
  const log = `journalctl -u ${unit} -n 50`
  if (ActiveState === 'failed' || SubState === 'auto-restart') return [error(`${unit} fails (${how})`, 'its log says why', log)]
  if (ActiveState !== 'active')
    return [note(`${unit} is ${ActiveState} (${SubState})`, `the ${role} does not run`, `systemctl start ${unit}`)]
  const found = [ok(`${unit} is active (${SubState})`, `the ${role} runs`)]
  if (NRestarts !== '0') found.push(warning(`${unit} was restarted ${NRestarts} times on its own`, 'its log says why it ended', log))
  if (UnitFileState === 'disabled')
    found.push(warning(`${unit} is not enabled`, `the ${role} will not run after a reboot`, `systemctl enable ${unit}`))
  return found
}
