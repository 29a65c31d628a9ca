import path from 'node:path'
import { openSecureMount, type SecureMount } from '../../../io/files/secure-mount.ts'
import type { Logger } from '../../../io/log/logger.ts'
import type { AgentSettings } from '../agent-settings.ts'
import { type Account, actionAccountOf } from './privileges.ts'

/** Another user than the agent's own, who runs revocation actions. */
export interface ActionUser {
  account: Account
  /**
   * A tmpfs for what that user is shown: an action came with the secrets, so its copy touches no disk. It is the agent's: were it the user's, a process that an
   * action left behind could put links where root writes next.
   */
  room: SecureMount
}

/** @returns null when actions run as the agent itself. @throws KeylimeError `config_invalid`, `secure_mount_refused`. */
export function openActionUser({ values, keylimeDir }: AgentSettings, agent: Account | null, logger: Logger): ActionUser | null {
  const account = actionAccountOf(values.revocation_actions_run_as, agent)
  if (!account) return null
  const directory = path.join(keylimeDir, 'action-room')
  const owner = { uid: process.geteuid!(), gid: process.getegid!() }
  return { account, room: openSecureMount({ directory, size: values.secure_size, owner, mode: 0o711, logger }) }
}
