import fs from 'node:fs'
import { createRequire } from 'node:module'
import { KeylimeError } from '../../../core/errors.ts'

/**
 * `keylime run-js-action FILE EVENT.json`: runs a module's exported `execute(event)` in this process, which is the action's own. By `require`, which
 * takes CommonJS and ES modules alike (without top-level await), also inside the executable.
 */
export async function runJsAction(file: string, eventFile: string): Promise<number> {
  const event: unknown = JSON.parse(fs.readFileSync(eventFile, 'utf8'))
  const module = createRequire(file)(file) as { execute?: unknown; default?: { execute?: unknown } }
  const execute = module.execute ?? module.default?.execute
  if (typeof execute !== 'function') throw new KeylimeError('script_failed', `${file} exports no function "execute"`)
  await execute(event)
  return 0
}
