import os from 'node:os'
import path from 'node:path'
import { KeylimeError } from '../../../core/errors.ts'
import type { Logger } from '../../../io/log/logger.ts'
import type { AgentSettings } from '../agent-settings.ts'
import { actionAccountOf } from '../machine/privileges.ts'
import { roomParents } from './action-room.ts'
import { findActions } from './find-action.ts'
import { settingsForActions } from './open-revocation-worker.ts'
import { runAction } from './run-action.ts'

/** `keylime agent --try-action FILE`: runs an action as a revocation would, without one. @returns the exit code. */
export async function tryAction(file: string, event: string, settings: AgentSettings, logger: Logger): Promise<number> {
  const { values, keylimeDir, env } = settings
  const directory = path.dirname(path.resolve(file))
  const { actions } = findActions({ configured: [path.basename(file)], directory, payload: null }, logger)
  const [action] = actions
  if (!action) throw new KeylimeError('not_found', `there is no action ${file}`)
  const runAs = actionAccountOf(values.revocation_actions_run_as, null)
  const surroundings = {
    keylimeDir,
    roomParents: runAs ? [os.tmpdir()] : roomParents(keylimeDir),
    runAs,
    agentId: 'try-action',
    settings: settingsForActions(settings),
    timeLimitSeconds: values.revocation_action_timeout,
    env,
    logger,
  }
  const complaint = await runAction(action, parseEvent(event), surroundings)
  if (complaint) throw new KeylimeError('script_failed', `action ${action.name}: ${complaint}`)
  return 0
}

function parseEvent(text: string): Record<string, unknown> {
  try {
    return JSON.parse(text) as Record<string, unknown>
  } catch (cause) {
    throw new KeylimeError('usage', '--event is not valid JSON', { cause })
  }
}
