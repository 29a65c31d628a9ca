import { createSerialQueue } from '../../../core/concurrency/serial-queue.ts'
import { systemClock } from '../../../io/clock.ts'
import { type Logger, silentLogger } from '../../../io/log/logger.ts'
import type { AgentSettings } from '../agent-settings.ts'
import { type FollowAuthority, follow } from '../authorities/followed-authorities.ts'
import { believedAuthorities, readTrust } from '../machine/trust.ts'

/** Follows one introduction after the other. @param reload takes what the files say now. @returns null where the configuration forbids it. */
export function authorityFollower(settings: AgentSettings, logger: Logger, reload: () => Promise<void>): FollowAuthority | null {
  if (!settings.values.follow_authority || !settings.values.enable_agent_mtls) return null
  const queue = createSerialQueue()
  return (introduction, caller) =>
    queue.run(async () => {
      const believed = believedAuthorities(readTrust(settings, silentLogger))
      const followed = await follow({ file: settings.paths.followed, introduction, believed, caller, now: systemClock.now() })
      if (followed.kind === 'added' || followed.kind === 'dropped')
        await reload().catch((error) => logger.error(`authorities cannot be read again: ${(error as Error).message}`))
      return followed
    })
}
