import fs from 'node:fs'
import { KeylimeError } from '../../../core/errors.ts'
import type { Logger } from '../../../io/log/logger.ts'
import { nativeAddon } from '../../../io/native/native-addon.ts'

export interface Account {
  user: string
  uid: number
  gid: number
}

/**
 * Who the agent will be: `run_as`, or null when it stays what it is.
 * @param chosen false when nobody set the option: a machine without the standard user then gets a warning, not a refusal.
 * @throws KeylimeError `config_invalid` when the user or group does not exist.
 */
export function accountOf(runAs: string, chosen: boolean, logger: Logger): Account | null {
  if (runAs === '') return null
  if (process.geteuid?.() !== 0) {
    logger.debug('not started as root: run_as has no effect')
    return null
  }
  const found = lookUp(runAs)
  if (!('missing' in found)) return found
  if (!chosen) {
    logger.warn(`there is no ${found.missing}: the agent stays root`, { hint: 'keylime service install agent' })
    return null
  }
  throw new KeylimeError('config_invalid', `run_as = ${runAs}: there is no ${found.missing}`, {
    hint: `${hintFor(found.missing)}; run_as = "" stays root`,
  })
}

const hintFor = (missing: string): string =>
  missing.startsWith('group ')
    ? `\`sudo groupadd --system ${missing.slice('group '.length)}\` makes it`
    : '`keylime service install agent` makes it'

/**
 * Who revocation actions are run by (`revocation_actions_run_as`), or null for the agent's own user.
 * @param agent who the agent will be, as `accountOf` says.
 * @throws KeylimeError `config_invalid` when there is no such user or group, or an agent that is not root would have to become another user: what keeps root
 * for that would give it to whoever takes the agent over.
 */
export function actionAccountOf(runAs: string, agent: Account | null): Account | null {
  if (runAs === '') return null
  const option = `revocation_actions_run_as = ${runAs}`
  const found = lookUp(runAs)
  if ('missing' in found)
    throw new KeylimeError('config_invalid', `${option}: there is no ${found.missing}`, { hint: 'correct the name, or leave it empty' })
  const own = agent?.uid ?? process.geteuid!()
  if (found.uid === own) return null
  if (own === 0) return found
  throw new KeylimeError('config_invalid', `${option}: an agent that is not root cannot become another user`, {
    hint: 'leave it empty, so that actions run as the agent; or keep the agent root with run_as = ""',
  })
}

function lookUp(name: string): Account | { missing: string } {
  const [user = '', group = ''] = name.split(':')
  const found = nativeAddon().findUser(user)
  if (!found) return { missing: `user ${user}` }
  const gid = group === '' ? found.gid : nativeAddon().findGroup(group)
  return gid === null ? { missing: `group ${group}` } : { user, uid: found.uid, gid }
}

/** Gives up root for ever: groups, then gid, then uid; and proves that it cannot come back. Files that root made before must have been handed over. */
export function dropPrivileges({ user, uid, gid }: Account, logger: Logger): void {
  ;(process as unknown as { initgroups(user: string, gid: number): void }).initgroups(user, gid)
  process.setgid!(gid)
  process.setuid!(uid)
  if (process.geteuid!() !== uid || process.getuid!() !== uid || canBecomeRoot())
    throw new KeylimeError('refused', `could not give up root for ${user}`)
  logger.info('gave up root', { user, uid, gid })
}

function canBecomeRoot(): boolean {
  try {
    process.setuid!(0)
    return true
  } catch {
    return false
  }
}

/** Hands files over that exist already and belong to root. Links are not followed, and a file of two names is left alone: the other may be one of the system. */
export function handOver(files: readonly string[], { uid, gid }: Account): void {
  for (const file of files) {
    const stat = fs.lstatSync(file, { throwIfNoEntry: false })
    if (stat && stat.uid === 0 && (stat.isDirectory() || (stat.isFile() && stat.nlink === 1))) fs.lchownSync(file, uid, gid)
  }
}
