import path from 'node:path'
import type { Logger } from '../../../io/log/logger.ts'
import { runScript, type ScriptResult } from '../../../io/programs/run-script.ts'
import type { Account } from '../machine/privileges.ts'
import { openActionRoom } from './action-room.ts'
import type { Action } from './find-action.ts'
import { pythonCommand, pythonShim } from './python-shim.ts'

export interface ActionSurroundings {
  keylimeDir: string
  /** Where files for an action are written; the next one when one is full. */
  roomParents: readonly string[]
  /** Who runs them; null: the agent's own user. */
  runAs: Account | null
  agentId: string
  /** Settings that Python actions may ask for: names and values of agent.conf, without secrets. */
  settings: Readonly<Record<string, unknown>>
  timeLimitSeconds: number
  env: NodeJS.ProcessEnv
  logger: Logger
}

const EVENT = 'event.json'
const MAX_OUTPUT_BYTES = 256 * 1024
const PASSED_ON = ['PATH', 'HOME', 'LANG', 'TZ']

/**
 * Runs one action with the message as JSON: a file as argument, and the same on its standard input. It has a time limit and limited output, and its
 * whole process group ends with it. @returns what went wrong, as a sentence; undefined when nothing did.
 */
export async function runAction(action: Action, event: Record<string, unknown>, place: ActionSurroundings): Promise<string | undefined> {
  const json = JSON.stringify(event)
  const files = new Map([[EVENT, json], ...(action.kind === 'python' ? pythonShim() : [])])
  const { runAs } = place
  const room = openActionRoom(place.roomParents, { files, action: action.file, reader: runAs }, place.logger)
  try {
    const { command, args, env } = commandOf({ ...action, file: room.action }, room.directory, place)
    const result = await runScript({
      file: command,
      args: [...args, path.join(room.directory, EVENT)],
      cwd: place.keylimeDir,
      env: { ...environment(place), ...env },
      input: json,
      ...(runAs ? { account: runAs } : {}),
      timeLimitSeconds: place.timeLimitSeconds,
      maxOutputBytes: MAX_OUTPUT_BYTES,
      onLine: (stream, line) => place.logger.info(line, { action: action.name, stream }),
    })
    return complaint(result, place)
  } finally {
    room.remove()
  }
}

function commandOf(
  action: Action,
  room: string,
  place: ActionSurroundings,
): { command: string; args: string[]; env: Record<string, string> } {
  switch (action.kind) {
    case 'python':
      return pythonCommand(action.file, room, place.settings)
    case 'javascript':
      return { command: process.execPath, args: [...scriptOfNode(), 'run-js-action', action.file], env: {} }
    case 'executable':
    case 'shell':
      return { command: action.file, args: [], env: {} }
  }
}

/** In development the program is a script that Node runs. */
const scriptOfNode = () => (path.basename(process.execPath).startsWith('node') ? [process.argv[1] ?? ''] : [])

function environment({ env, agentId, keylimeDir, runAs }: ActionSurroundings): Record<string, string> {
  const passed = PASSED_ON.flatMap((name) => (env[name] === undefined ? [] : [[name, env[name]] as const]))
  return {
    PATH: '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin',
    ...Object.fromEntries(passed),
    AGENT_UUID: agentId,
    KEYLIME_DIR: keylimeDir,
    ...(runAs ? { USER: runAs.user, LOGNAME: runAs.user, HOME: '/' } : {}),
  }
}

function complaint(result: ScriptResult, { timeLimitSeconds, runAs }: ActionSurroundings): string | undefined {
  const whose =
    runAs && /EACCES|not executable/.test(result.startError ?? '') ? ` (user ${runAs.user} may not reach it, or not run it)` : ''
  if (result.startError) return `it cannot be started: ${result.startError}${whose}`
  if (result.timedOut) return `it was ended after ${timeLimitSeconds} s`
  if (result.signal) return `it was ended by ${result.signal}`
  return result.exitCode === 0 ? undefined : `it ended with exit code ${result.exitCode}${result.reason ? `: ${result.reason}` : ''}`
}
