import fs from 'node:fs'
import { KeylimeError } from '../../core/errors.ts'
import type { Logger } from '../../io/log/logger.ts'
import { nativeAddon } from '../../io/native/native-addon.ts'

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
  const [user = '', group = ''] = runAs.split(':')
  const found = nativeAddon().findUser(user)
  const gid = group === '' ? (found?.gid ?? null) : nativeAddon().findGroup(group)
  if (found && gid !== null) return { user, uid: found.uid, gid }
  if (!chosen) {
    logger.warn(`there is no ${found ? `group ${group}` : `user ${user}`}: the agent stays root`, { hint: 'keylime service install agent' })
    return null
  }
  throw new KeylimeError('config_invalid', `run_as = ${runAs}: there is no ${found ? `group ${group}` : `user ${user}`}`, {
    hint: '`keylime service install agent` makes them; run_as = "" stays root',
  })
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

/** Hands files over that exist already and belong to root. Links are not followed. */
export function handOver(files: readonly string[], { uid, gid }: Account): void {
  for (const file of files) {
    const stat = fs.lstatSync(file, { throwIfNoEntry: false })
    if (stat && stat.uid === 0 && (stat.isFile() || stat.isDirectory())) fs.lchownSync(file, uid, gid)
  }
}
