import fs from 'node:fs'
import { BootLog } from '../../../io/files/boot-log.ts'
import { ImaLog } from '../../../io/files/ima-log.ts'
import { MeasurementMark } from '../../../io/files/measurement-mark.ts'
import { openSecureMount, type SecureMount } from '../../../io/files/secure-mount.ts'
import type { Logger } from '../../../io/log/logger.ts'
import type { AgentSettings } from '../agent-settings.ts'
import { type ActionUser, openActionUser } from './action-user.ts'
import { holdDirectory, lockFile } from './hold-directory.ts'
import { accountOf, dropPrivileges, handOver } from './privileges.ts'
import { readTrust, type Trust } from './trust.ts'

/** What the agent has of its machine. */
export interface Machine {
  trust: Trust
  /** The tmpfs for secrets. */
  secure: SecureMount
  imaLog: ImaLog
  /** Whether the list has grown. */
  imaMark: MeasurementMark
  bootLog: BootLog
  /** Of what systemd measured since the boot. */
  systemdLog: BootLog
  /** null when revocation actions run as the agent itself. */
  actionUser: ActionUser | null
}

/** Opens what needs root; then gives root up, if the configuration says so. @param onStop is told how each is closed. @throws KeylimeError. */
export function prepareMachine(settings: AgentSettings, logger: Logger, onStop: (end: () => unknown) => void): Machine {
  const { values, runAsChosen, keylimeDir, paths } = settings
  process.umask(0o077)
  const trust = readTrust(settings, logger)
  const lock = holdDirectory(keylimeDir)
  onStop(() => fs.closeSync(lock))
  const imaLog = new ImaLog(paths.imaLog)
  const bootLog = new BootLog(paths.bootLog)
  const imaMark = new MeasurementMark(paths.imaLog)
  imaMark.open()
  onStop(() => imaLog.close())
  onStop(() => imaMark.close())
  onStop(() => bootLog.close())
  const systemdLog = new BootLog(paths.systemdLog)
  onStop(() => systemdLog.close())
  if (!opens(systemdLog)) logger.info('this machine has no log of what systemd measures', { path: paths.systemdLog })
  if (!imaLog.open()) logger.info('this machine has no IMA measurement list', { path: paths.imaLog })
  if (!bootLog.open()) logger.info('this machine has no event log of its firmware', { path: paths.bootLog })
  const account = accountOf(values.run_as, runAsChosen, logger)
  const owner = account ?? { uid: process.geteuid!(), gid: process.getegid!() }
  const secure = openSecureMount({ directory: paths.secure, size: values.secure_size, owner, logger })
  const actionUser = openActionUser(settings, account, logger)
  onStop(() => actionUser?.room.unmount())
  if (account) {
    handOver([keylimeDir, lockFile(keylimeDir), paths.serverKey, paths.serverCert, paths.payloadKey, paths.agentData], account)
    dropPrivileges(account, logger)
  }
  return { trust, secure, imaLog, imaMark, bootLog, systemdLog, actionUser }
}

/** It is read where it can be: nothing else depends on it. */
function opens(log: BootLog): boolean {
  try {
    return log.open()
  } catch {
    return false
  }
}
