import { execFileSync } from 'node:child_process'
import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import readline from 'node:readline/promises'
import type { Argv } from 'yargs'
import { describeAsFile } from '../../config/describe.ts'
import { keylimeDirectory } from '../../config/files.ts'
import { TABLES } from '../../config/tables.ts'
import { KeylimeError } from '../../core/errors.ts'
import { noteLine, printJson, printLines } from '../../io/terminal/print.ts'
import { applyAction } from './apply-action.ts'
import { type Action, installPlan, type ServicePlace, type Uninstall, USER, uninstallPlan, unitName } from './service-plan.ts'
import { SERVICE_ROLES, type ServiceRole } from './service-role.ts'
import { knowsNoswap } from './unit-text.ts'

interface Arguments {
  action?: string | undefined
  role?: string | undefined
  root?: string | undefined
  keylimeDir?: string | undefined
  purge?: boolean | undefined
  yes?: boolean | undefined
  dryRun?: boolean | undefined
  json?: boolean | undefined
}

/** `keylime service install|status|uninstall ROLE`. */
export const command = {
  builder: (yargs: Argv): Argv<Arguments> =>
    yargs
      .usage(
        'Runs a role as a systemd service, from this one file. Shows what it will do before doing it.\n\nUsage: keylime service install|status|uninstall ROLE [options]',
      )
      .example('sudo keylime service install verifier', 'start verifier and registrar now and at every boot')
      .example('sudo keylime service install agent', 'on each machine with a TPM')
      .example('keylime service install agent --root /mnt/image --yes', 'install into the file system of an image')
      .positional('action', { choices: ['install', 'status', 'uninstall'] as const, demandOption: true, describe: 'What to do' })
      .positional('role', { choices: SERVICE_ROLES, demandOption: true, describe: 'Which role' })
      .option('root', {
        type: 'string',
        requiresArg: true,
        describe: 'Work below this directory, in an image: its first boot creates the user and starts the service',
      })
      .option('keylime-dir', { type: 'string', requiresArg: true, describe: 'Directory for keys and state; default: /var/lib/keylime' })
      .option('purge', { type: 'boolean', describe: 'uninstall: also remove keys, state and configuration of the role' })
      .option('yes', { alias: 'y', type: 'boolean', describe: 'Do not ask' })
      .option('dry-run', { type: 'boolean', describe: 'Only show what would be done' })
      .option('json', { type: 'boolean', describe: 'Show the plan as JSON' }) as unknown as Argv<Arguments>,

  async run(argv: Arguments): Promise<number> {
    const role = argv.role as ServiceRole
    if (argv.action === 'status') return showStatus(role)
    const place = placeOf(argv)
    refusePackaged(role, place, String(argv.action))
    const plan =
      argv.action === 'install'
        ? installPlan(role, place, {
            configText: configText(role),
            ofOthers: madeByOthers(place),
            noswap: argv.root === undefined && knowsNoswap(os.release()),
          })
        : uninstallPlan(role, place, whatIsThere(role, place, argv))
    show(plan, argv)
    if (argv.dryRun) return 0
    const live = place.root === ''
    if (live && process.getuid?.() !== 0)
      throw new KeylimeError('refused', `only root can ${argv.action} a service`, { hint: `sudo keylime service ${argv.action} ${role}` })
    if (!argv.yes && !(await confirmed())) return 1
    for (const action of plan) await applyAction(action, live)
    noteLine(live && argv.action === 'install' ? `${unitName(role)} is running` : 'done')
    return 0
  },
}

/** A KEYLIME_DIR that somebody exported in this shell is of a trial, and would slip into the unit. @throws KeylimeError `usage` for a root that is not there. */
function placeOf({ root = '', keylimeDir }: Arguments): ServicePlace {
  if (root !== '' && !fs.statSync(root, { throwIfNoEntry: false })?.isDirectory())
    throw new KeylimeError('usage', `--root: there is no directory ${root}`, { hint: 'mount or make it first' })
  const exported = process.env['KEYLIME_DIR']
  if (keylimeDir === undefined && exported && path.resolve(exported) !== keylimeDirectory({}))
    noteLine(
      `warning: KEYLIME_DIR=${exported} of this shell has no effect here; --keylime-dir names another directory than ${keylimeDirectory({})}`,
    )
  return { root, executable: process.execPath, keylimeDir: path.resolve(keylimeDir ?? keylimeDirectory({})) }
}

/** A second unit and executable would hide those of the package, and outlive its upgrades. @throws KeylimeError `refused` */
function refusePackaged(role: ServiceRole, { root }: ServicePlace, action: string): void {
  const at = (file: string) => path.join(root || '/', file)
  const packaged = ['/usr/lib/systemd/system', '/lib/systemd/system'].map((place) => at(`${place}/${unitName(role)}`)).find(fs.existsSync)
  if (packaged === undefined || (action === 'uninstall' && fs.existsSync(at(`/etc/systemd/system/${unitName(role)}`)))) return
  const remove = fs.existsSync(at('/var/lib/dpkg')) ? 'apt purge' : 'dnf remove'
  throw new KeylimeError('refused', `a package has installed ${packaged}, the ${role} as a service`, {
    hint: action === 'install' ? `start it: sudo systemctl enable --now keylime-${role}` : `sudo ${remove} keylime-${role}`,
  })
}

function whatIsThere(role: ServiceRole, { root, keylimeDir }: ServicePlace, { purge = false }: Arguments): Uninstall {
  const at = (file: string) => path.join(root || '/', file)
  const others = SERVICE_ROLES.filter((other) => other !== role && fs.existsSync(at(`/etc/systemd/system/${unitName(other)}`)))
  const present = fs.existsSync(at(keylimeDir)) ? fs.readdirSync(at(keylimeDir)) : []
  return { purge, others, present }
}

/** Below another root nobody knows the service's user yet: the first boot does. */
function madeByOthers({ root, keylimeDir }: ServicePlace): string[] {
  if (root !== '' || !fs.existsSync(keylimeDir)) return []
  const own = uidOf(USER)
  return fs.readdirSync(keylimeDir).filter((name) => fs.lstatSync(path.join(keylimeDir, name)).uid !== own)
}

function uidOf(user: string): number | undefined {
  try {
    return Number(execFileSync('id', ['-u', user], { stdio: ['ignore', 'pipe', 'ignore'] }))
  } catch {
    return undefined // it is made in a moment
  }
}

const configText = (role: ServiceRole): string => describeAsFile(role, TABLES[role])

function show(plan: Action[], argv: Arguments): void {
  if (argv.json) printJson(plan.map(({ tell, ...action }) => ({ action: action.do, tell })))
  else printLines(plan.map((action) => `  ${action.tell}`))
}

async function confirmed(): Promise<boolean> {
  if (!process.stdin.isTTY) throw new KeylimeError('usage', 'there is no terminal to ask on', { hint: 'add --yes' })
  const terminal = readline.createInterface({ input: process.stdin, output: process.stderr })
  try {
    return /^y(es)?$/i.test((await terminal.question('Do this? [y/N] ')).trim())
  } finally {
    terminal.close()
  }
}

function showStatus(role: ServiceRole): number {
  try {
    execFileSync('systemctl', ['status', '--no-pager', unitName(role)], { stdio: 'inherit' })
    return 0
  } catch (error) {
    const status = (error as { status?: number }).status
    if (status === undefined || status === null)
      throw new KeylimeError('unavailable', 'systemctl cannot be run on this machine', { cause: error })
    return status === 4 ? 6 : 1
  }
}
