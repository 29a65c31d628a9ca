import fs from 'node:fs'
import path from 'node:path'
import { ACTION_PREFIX, parseActionList } from '../../../core/revocation/action-list.ts'
import type { Logger } from '../../../io/log/logger.ts'

export type ActionKind = 'executable' | 'python' | 'javascript' | 'shell'

export interface Action {
  name: string
  file: string
  kind: ActionKind
}

export interface ActionSources {
  /** `revocation_actions`: they run first. */
  configured: readonly string[]
  /** `revocation_actions_dir` */
  directory: string
  /** secure/unzipped; null when actions of payloads are not allowed. */
  payload: string | null
}

const SUFFIXES: readonly [string, ActionKind][] = [
  ['', 'executable'],
  ['.py', 'python'],
  ['.mjs', 'javascript'],
  ['.js', 'javascript'],
  ['.sh', 'shell'],
]

/** All actions in the order in which they run; what is listed but cannot be found is in `missing` (protocol 6.4). */
export function findActions(sources: ActionSources, logger: Logger): { actions: Action[]; missing: string[] } {
  const listed = [...sources.configured, ...payloadNames(sources.payload, logger)]
  const actions: Action[] = []
  const missing: string[] = []
  for (const name of new Set(listed)) {
    const found = findAction(name, sources)
    if (found) actions.push(found)
    else missing.push(name)
  }
  return { actions, missing }
}

function payloadNames(directory: string | null, logger: Logger): string[] {
  if (directory === null) return []
  let text: string
  try {
    text = fs.readFileSync(path.join(directory, 'action_list'), 'utf8')
  } catch {
    return [] // this payload has no actions
  }
  const { names, refused } = parseActionList(text)
  if (refused.length > 0) logger.warn('entries of action_list that are not names are left out', { entries: refused })
  const unusual = names.filter((name) => !name.startsWith(ACTION_PREFIX))
  if (unusual.length > 0) logger.warn(`actions of a payload should be named ${ACTION_PREFIX}…`, { actions: unusual })
  return names
}

function findAction(name: string, { directory, payload }: ActionSources): Action | null {
  for (const place of payload === null ? [directory] : [directory, payload])
    for (const [suffix, kind] of SUFFIXES) {
      const file = path.join(place, name + suffix)
      if (isPlainFile(file)) return { name, file, kind: suffix === '' ? kindOf(file) : kind }
    }
  return null
}

/** A name that is given with its suffix is what the suffix says. */
const kindOf = (file: string): ActionKind => SUFFIXES.find(([suffix]) => suffix !== '' && file.endsWith(suffix))?.[1] ?? 'executable'

function isPlainFile(file: string): boolean {
  return fs.lstatSync(file, { throwIfNoEntry: false })?.isFile() ?? false
}
