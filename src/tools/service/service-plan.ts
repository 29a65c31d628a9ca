import path from 'node:path'
import { type ServiceRole, STATE } from './service-role.ts'
import { mountText, mountUnitName, unitText } from './unit-text.ts'

export interface ServicePlace {
  /** Prefix of every path, for images that are built; empty on a running machine. */
  root: string
  /** The executable that runs now. */
  executable: string
  keylimeDir: string
}

/** One thing to be done, told before it is done. */
export type Action =
  /** `makesGroup`: the group that may use the TPM is made where there is none; otherwise the user only joins it. */
  | { do: 'user'; name: string; makesGroup: boolean; tell: string }
  | { do: 'directory'; path: string; mode: number; owner: string; tell: string }
  /** `keep`: a file that is there is the administrator's, and stays. */
  | { do: 'file'; path: string; content: string; mode: number; owner: string; keep: boolean; tell: string }
  | { do: 'copy'; from: string; path: string; mode: number; tell: string }
  | { do: 'remove'; path: string; tell: string }
  /** With all that is in it; links are not followed. */
  | { do: 'own'; path: string; owner: string; tell: string }
  | { do: 'link'; path: string; target: string; tell: string }
  /** Nothing is done: what stays is told. */
  | { do: 'keep'; tell: string }
  /** Takes a mounted tmpfs off, with what is in it; one that is not mounted is nothing to do. */
  | { do: 'unmount'; path: string; tell: string }
  | { do: 'systemctl'; args: string[]; tell: string; mayFail?: boolean }

export const USER = 'keylime'
const INSTALLED = '/usr/local/bin/keylime'

export const unitName = (role: ServiceRole): string => `keylime-${role}.service`

export interface Install {
  /** Commented configuration, written only where none is. */
  readonly configText: string
  /** Names in KEYLIME_DIR that belong to somebody else: a first try as root left them, or they come from another host. The service could not open them. */
  readonly ofOthers?: readonly string[]
  /** The kernel can keep a tmpfs out of swap. */
  readonly noswap?: boolean
}

/**
 * What `keylime service install ROLE` does, in order. Pure. Below another root nothing can be started and no user be made: what does both at the first boot of
 * the image is written.
 */
export function installPlan(role: ServiceRole, place: ServicePlace, { configText, ofOthers = [], noswap = false }: Install): Action[] {
  const at = (file: string) => path.join(place.root || '/', file)
  const live = place.root === ''
  const owner = role === 'agent' ? 'root' : USER
  const unit = unitText(role, { executable: INSTALLED, keylimeDir: place.keylimeDir, user: USER })
  const actions: Action[] = []
  if (live) actions.push(userFor(role))
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
  if (role === 'agent') actions.push(secretsMount(place, noswap))
  if (owner === USER) actions.push(...handedOver(role, place, ofOthers))
  if (!live) actions.push(...atFirstBoot(role, place))
  if (live) {
    actions.push(
      { do: 'systemctl', args: ['daemon-reload'], tell: 'tell systemd' },
      { do: 'systemctl', args: ['enable', unitName(role)], tell: `start ${unitName(role)} at every boot` },
      // not `start`: one that runs already may run another executable, or with another unit
      {
        do: 'systemctl',
        args: ['restart', unitName(role)],
        tell: `start ${unitName(role)} now; one that runs is restarted${untilWhen(role)}`,
      },
    )
  }
  return actions
}

/** The agent becomes this user in this group once it has the TPM. */
const userFor = (role: ServiceRole): Action => ({
  do: 'user',
  name: USER,
  makesGroup: role === 'agent',
  tell:
    role === 'agent'
      ? `make the system user "${USER}", and the group "tss", which may use the TPM`
      : `make the system user "${USER}", in group "tss" if there is one`,
})

/** The memory for secrets, which the agent's unit wants. */
function secretsMount({ root, keylimeDir }: ServicePlace, noswap: boolean): Action {
  const file = path.join(root || '/', '/etc/systemd/system', mountUnitName(keylimeDir))
  const content = mountText({ keylimeDir }, { noswap })
  return { do: 'file', path: file, content, mode: 0o644, owner: 'root', keep: false, tell: `write ${file}, the memory for secrets` }
}

/** An agent that nobody calls tries to register for ever. */
const untilWhen = (role: ServiceRole): string =>
  role === 'agent' ? '. This waits until it is registered: `journalctl -u keylime-agent` says what keeps it from that' : ''

/** What a first run as root left of the role, or another host had of it, or of the registrar that the verifier hosts. */
function handedOver(role: ServiceRole, { keylimeDir, root }: ServicePlace, ofOthers: readonly string[]): Action[] {
  const patterns = [...STATE[role], ...(role === 'verifier' ? STATE.registrar : []), ...(role === 'agent' ? [] : STATE.ca)]
  return ofOthers
    .filter((name) => isOf(name, patterns))
    .map((name) => path.join(root || '/', keylimeDir, name))
    .map((file) => ({
      do: 'own',
      path: file,
      owner: USER,
      tell: `give ${file} to ${USER}: it belongs to someone else, and the service could not open it`,
    }))
}

function atFirstBoot(role: ServiceRole, { root, keylimeDir }: ServicePlace): Action[] {
  const at = (file: string) => path.join(root, file)
  const users = at('/etc/sysusers.d/keylime.conf')
  const modes = at(`/etc/tmpfiles.d/keylime-${role}.conf`)
  const [mode, owner] = role === 'agent' ? ['0755', 'root'] : ['0750', USER]
  const file = { do: 'file', mode: 0o644, owner: 'root', keep: false } as const
  return [
    {
      ...file,
      path: users,
      content: `u ${USER} - "Keylime" /var/lib/keylime\nm ${USER} tss\n`,
      tell: `write ${users}: the first boot makes the user "${USER}"`,
    },
    {
      ...file,
      path: modes,
      content: `d ${keylimeDir} ${mode} ${owner} ${owner} -\nz /etc/keylime/${role}.conf 0640 root ${USER} -\n`,
      tell: `write ${modes}: each boot gives the files to the user`,
    },
    { do: 'link', path: enabledAt(role, root), target: `../${unitName(role)}`, tell: `start ${unitName(role)} at every boot` },
  ]
}

const enabledAt = (role: ServiceRole, root: string): string =>
  path.join(root || '/', 'etc/systemd/system/multi-user.target.wants', unitName(role))

const isOf = (name: string, patterns: readonly string[]): boolean =>
  patterns.some((pattern) => (pattern.endsWith('*') ? name.startsWith(pattern.slice(0, -1)) : name === pattern))

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
          return { do: 'unmount', path: directory, tell: `unmount ${directory}, if it is mounted: payloads in it are gone then` } as const
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
  const ofImage: Action[] =
    place.root === ''
      ? []
      : [enabledAt(role, place.root), at(`/etc/tmpfiles.d/keylime-${role}.conf`)].map((file) => ({
          do: 'remove',
          path: file,
          tell: `remove ${file}`,
        }))
  const units = role === 'agent' ? [unit, at(`/etc/systemd/system/${mountUnitName(place.keylimeDir)}`)] : [unit]
  return [
    ...stop,
    ...mounts,
    ...units.map((file): Action => ({ do: 'remove', path: file, tell: `remove ${file}` })),
    ...ofImage,
    ...reload,
    ...rest,
    ...user,
  ]
}

/** With the last role goes all of KEYLIME_DIR. */
function stateOf(role: ServiceRole, directory: string, { others, present }: Uninstall): string[] {
  if (others.length === 0) return [directory]
  const own = [...STATE[role], ...(role === 'verifier' && !others.includes('registrar') ? STATE.registrar : [])]
  return present.filter((name) => isOf(name, own)).map((name) => path.join(directory, name))
}
