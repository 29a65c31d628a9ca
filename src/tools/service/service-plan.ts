import path from 'node:path'
import { type ServiceRole, STATE } from './service-role.ts'
import { unitText } from './unit-text.ts'

export interface ServicePlace {
  /** Prefix of every path, for images that are built; empty on a running machine. */
  root: string
  /** The executable that runs now. */
  executable: string
  keylimeDir: string
}

/** One thing to be done, told before it is done. */
export type Action =
  | { do: 'user'; name: string; tell: string }
  | { do: 'directory'; path: string; mode: number; owner: string; tell: string }
  /** `keep`: a file that is there is the administrator's, and stays. */
  | { do: 'file'; path: string; content: string; mode: number; owner: string; keep: boolean; tell: string }
  | { do: 'copy'; from: string; path: string; mode: number; tell: string }
  | { do: 'remove'; path: string; tell: string }
  /** Nothing is done: what stays is told. */
  | { do: 'keep'; tell: string }
  /** Takes a mounted tmpfs off, with what is in it; one that is not mounted is nothing to do. */
  | { do: 'unmount'; path: string; tell: string }
  | { do: 'systemctl'; args: string[]; tell: string; mayFail?: boolean }

export const USER = 'keylime'
const INSTALLED = '/usr/local/bin/keylime'

export const unitName = (role: ServiceRole): string => `keylime-${role}.service`

/**
 * What `keylime service install ROLE` does, in order. Pure.
 * @param configText commented configuration, written only where none is.
 */
export function installPlan(role: ServiceRole, place: ServicePlace, configText: string): Action[] {
  const at = (file: string) => path.join(place.root || '/', file)
  const live = place.root === ''
  const owner = role === 'agent' ? 'root' : USER
  const unit = unitText(role, { executable: INSTALLED, keylimeDir: place.keylimeDir, user: USER })
  const actions: Action[] = []
  if (live) actions.push({ do: 'user', name: USER, tell: `make the system user "${USER}", in group "tss" where there is one` })
  if (path.resolve(place.executable) !== at(INSTALLED))
    actions.push({ do: 'copy', from: place.executable, path: at(INSTALLED), mode: 0o755, tell: `copy this executable to ${at(INSTALLED)}` })
  actions.push(
    {
      do: 'directory',
      path: at(place.keylimeDir),
      mode: role === 'agent' ? 0o755 : 0o750,
      owner,
      tell: `make ${at(place.keylimeDir)} for keys and state`,
    },
    { do: 'directory', path: at('/etc/keylime'), mode: 0o755, owner: 'root', tell: `make ${at('/etc/keylime')}` },
    {
      do: 'file',
      path: at(`/etc/keylime/${role}.conf`),
      content: configText,
      mode: 0o640,
      owner: `root:${USER}`,
      keep: true,
      tell: `write ${at(`/etc/keylime/${role}.conf`)} (kept when it is there)`,
    },
    {
      do: 'file',
      path: at(`/etc/systemd/system/${unitName(role)}`),
      content: unit,
      mode: 0o644,
      owner: 'root',
      keep: false,
      tell: `write ${at(`/etc/systemd/system/${unitName(role)}`)}`,
    },
  )
  if (live) {
    actions.push(
      { do: 'systemctl', args: ['daemon-reload'], tell: 'tell systemd' },
      { do: 'systemctl', args: ['enable', unitName(role)], tell: `start ${unitName(role)} at every boot` },
      // not `start`: one that runs already may run another executable, or with another unit
      { do: 'systemctl', args: ['restart', unitName(role)], tell: `start ${unitName(role)} now; one that runs is restarted` },
    )
  }
  return actions
}

export interface Uninstall {
  /** Remove keys, state and configuration too. */
  purge: boolean
  /** Other roles that are installed here: what they share with this one stays. */
  others: readonly ServiceRole[]
  /** Names in KEYLIME_DIR. */
  present: readonly string[]
}

/** What `uninstall` does. Keys, state and configuration stay unless `purge`: they may be worth more than the service; what stays is told. */
export function uninstallPlan(role: ServiceRole, place: ServicePlace, given: Uninstall): Action[] {
  const at = (file: string) => path.join(place.root || '/', file)
  const unit = path.join(place.root || '/', 'etc/systemd/system', unitName(role))
  const stop: Action[] =
    place.root === ''
      ? [{ do: 'systemctl', args: ['disable', '--now', unitName(role)], tell: `stop ${unitName(role)}`, mayFail: true }]
      : []
  const reload: Action[] = place.root === '' ? [{ do: 'systemctl', args: ['daemon-reload'], tell: 'tell systemd' }] : []
  const mounts: Action[] =
    role === 'agent' && place.root === ''
      ? ['secure', 'action-room'].map((name) => {
          const directory = path.join(place.keylimeDir, name)
          return { do: 'unmount', path: directory, tell: `unmount ${directory}, when it is mounted: payloads in it are gone then` } as const
        })
      : []
  const config = at(`/etc/keylime/${role}.conf`)
  const state = stateOf(role, at(place.keylimeDir), given)
  const shared = given.others.length > 0 ? [] : [at(INSTALLED)]
  const left = [config, ...state, ...shared]
  const rest: Action[] = given.purge
    ? left.map((file) => ({ do: 'remove', path: file, tell: `remove ${file}` }))
    : left.map((file) => ({ do: 'keep', tell: `${file} stays (--purge removes it)` }))
  const user: Action[] =
    given.others.length > 0 || place.root !== '' ? [] : [{ do: 'keep', tell: `the user ${USER} stays (\`userdel ${USER}\` removes it)` }]
  return [...stop, ...mounts, { do: 'remove', path: unit, tell: `remove ${unit}` }, ...reload, ...rest, ...user]
}

/** With the last role goes all of KEYLIME_DIR. */
function stateOf(role: ServiceRole, directory: string, { others, present }: Uninstall): string[] {
  if (others.length === 0) return [directory]
  const own = [...STATE[role], ...(role === 'verifier' && !others.includes('registrar') ? STATE.registrar : [])]
  const isOwn = (name: string) => own.some((pattern) => (pattern.endsWith('*') ? name.startsWith(pattern.slice(0, -1)) : name === pattern))
  return present.filter(isOwn).map((name) => path.join(directory, name))
}
