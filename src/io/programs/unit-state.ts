import { execFile } from 'node:child_process'

const PROPERTIES = ['LoadState', 'ActiveState', 'SubState', 'Result', 'ExecMainStatus', 'NRestarts', 'UnitFileState'] as const

/** As systemd spells them. */
export type UnitState = Readonly<Partial<Record<(typeof PROPERTIES)[number], string>>>

/** What `systemctl show` says of a unit; null where no systemd runs. */
export function unitState(unit: string, signal: AbortSignal): Promise<UnitState | null> {
  const args = ['show', unit, `--property=${PROPERTIES.join(',')}`]
  return new Promise((resolve) => {
    execFile('systemctl', args, { signal, killSignal: 'SIGKILL' }, (error, text) => resolve(error ? null : readProperties(text)))
  })
}

/** Lines are `NAME=value`. */
export const readProperties = (text: string): UnitState =>
  Object.fromEntries(
    text
      .split('\n')
      .map((line) => /^(\w+)=(.*)$/.exec(line))
      .flatMap((found) => (found ? [[found[1], found[2]]] : [])),
  )
