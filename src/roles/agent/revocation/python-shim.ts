import fs from 'node:fs'
import path from 'node:path'
import sea from 'node:sea'
import { KeylimeError } from '../../../core/errors.ts'

/** What actions written for upstream import: `keylime.secure_mount`, `.config`, `.ca_util` and the like. Embedded in the executable. */
const SHIM_FILES = [
  'run_action.py',
  'keylime/__init__.py',
  'keylime/ca_util.py',
  'keylime/cmd_exec.py',
  'keylime/common.py',
  'keylime/config.py',
  'keylime/crypto.py',
  'keylime/json.py',
  'keylime/keylime_logging.py',
  'keylime/secure_mount.py',
  'keylime/tornado_requests.py',
] as const

const SHIM = 'python'
const PYTHONS = ['/usr/bin/python3', '/usr/local/bin/python3', '/bin/python3']

/**
 * Python reads no compiled files, only sources. Compiled ones are made when a package is installed and belong to none, so that a runtime policy made of
 * packages does not know them: a machine whose agent is root would fail its own attestation by running an action.
 */
const NO_CACHE = '/nonexistent'

/** The modules, by their path in the room of an action. */
export function pythonShim(): [name: string, text: string][] {
  return SHIM_FILES.map((name) => [
    `${SHIM}/${name}`,
    sea.isSea() ? sea.getAsset(`python/${name}`, 'utf8') : fs.readFileSync(path.join(import.meta.dirname, 'python', name), 'utf8'),
  ])
}

/** The command that runs `execute(event)` of a Python file under the system's python3, with the modules in `room`. @throws KeylimeError when there is none. */
export function pythonCommand(file: string, room: string, settings: Readonly<Record<string, unknown>>) {
  const python = PYTHONS.find((candidate) => fs.existsSync(candidate))
  if (!python)
    throw new KeylimeError('script_failed', `${path.basename(file)} is a Python action, and this machine has no python3`, {
      hint: 'install python3, or write the action as an executable or in JavaScript',
    })
  const shim = path.join(room, SHIM)
  const env = {
    PYTHONPATH: `${shim}:${path.dirname(file)}`,
    PYTHONDONTWRITEBYTECODE: '1',
    PYTHONPYCACHEPREFIX: NO_CACHE,
    KEYLIME_SHIM_SETTINGS: JSON.stringify(settings),
  }
  return { command: python, args: [path.join(shim, 'run_action.py'), file], env }
}
