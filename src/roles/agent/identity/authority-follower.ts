import { createSerialQueue } from '../../../core/concurrency/serial-queue.ts'
import { systemClock } from '../../../io/clock.ts'
import { type Logger, silentLogger } from '../../../io/log/logger.ts'
import type { AgentSettings } from '../agent-settings.ts'
import { type FollowAuthority, follow } from '../authorities/followed-authorities.ts'
import { readTrust, type TrustTexts } from '../machine/trust.ts'

export interface FollowerOptions {
  readonly settings: AgentSettings
  readonly logger: Logger
  /** What the files of trusted CAs said at the start. */
  readonly texts: TrustTexts
  /** Takes what the files say now. */
  reload(): Promise<void>
}

/** Follows one introduction after the other. @returns null where the configuration forbids it. */
export function authorityFollower({ settings, logger, texts, reload }: FollowerOptions): FollowAuthority | null {
  const { follow_authority, enable_agent_mtls } = settings.values
  if (!follow_authority || (settings.push === null && !enable_agent_mtls)) return null
  const queue = createSerialQueue()
  return (introduction, holdsWithout) =>
    queue.run(async () => {
      const believed = readTrust(settings, silentLogger, texts).operators?.trust().authorities ?? []
      const followed = await follow({ file: settings.paths.followed, introduction, believed, holdsWithout, now: systemClock.now() })
      if (followed.kind === 'added' || followed.kind === 'dropped')
        await reload().catch((error) => logger.error(`authorities cannot be read again: ${(error as Error).message}`))
      return followed
    })
}
