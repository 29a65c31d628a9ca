import path from 'node:path'
import { Secret } from '../../../core/secret.ts'
import { systemClock } from '../../../io/clock.ts'
import type { Logger } from '../../../io/log/logger.ts'
import type { AgentSettings } from '../agent-settings.ts'
import type { Machine } from '../machine/prepare-machine.ts'
import { KnownNotifiers } from './known-notifiers.ts'
import type { RevocationInbox } from './revocation-inbox.ts'
import { createRevocationWorker } from './revocation-worker.ts'

/** Beside the agent's other state. A verifier that shares the directory keeps its own under another name. */
const VERIFIER_NOTIFIER_FILE = 'verifier-notifier-cert.crt'

export interface RevocationSurroundings extends Pick<Machine, 'secure' | 'actionUser'> {
  readonly settings: AgentSettings
  readonly agentId: string
}

/** The worker as the configuration wants it. */
export function openRevocationWorker({ settings, secure, actionUser, agentId }: RevocationSurroundings, logger: Logger): RevocationInbox {
  const { values, keylimeDir, env } = settings
  const unzipped = path.join(secure.directory, 'unzipped')
  const isDefault = values.revocation_cert === 'default' || values.revocation_cert === ''
  const certificate = isDefault ? path.join(unzipped, 'RevocationNotifier-cert.crt') : values.revocation_cert
  return createRevocationWorker({
    notifiers: new KnownNotifiers({
      payloadFile: path.resolve(keylimeDir, certificate),
      verifierFile: isDefault ? path.join(keylimeDir, VERIFIER_NOTIFIER_FILE) : null,
      logger,
    }),
    unzipped,
    configuredActions: values.revocation_actions,
    actionsDirectory: values.revocation_actions_dir,
    allowPayloadActions: values.allow_payload_revocation_actions,
    goOnAfterFailure: values.revocation_actions_go_on,
    maxAgeSeconds: values.revocation_max_age,
    clock: systemClock,
    surroundings: {
      keylimeDir,
      roomParents: actionUser ? [actionUser.room.directory] : [secure.directory, keylimeDir],
      runAs: actionUser?.account ?? null,
      agentId,
      settings: settingsForActions(settings),
      timeLimitSeconds: values.revocation_action_timeout,
      env,
      logger,
    },
    logger,
  })
}

/** Names and values of agent.conf that actions may ask for: no secrets. */
export const settingsForActions = ({ values }: AgentSettings): Record<string, unknown> =>
  Object.fromEntries(Object.entries(values).filter(([, value]) => !(value instanceof Secret)))
