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

const PYTHONS = ['/usr/bin/python3', '/usr/local/bin/python3', '/bin/python3']

/**
 * Python reads no compiled files, only sources. Compiled ones are made when a package is installed and belong to none, so that a runtime policy made of
 * packages does not know them: a machine whose agent is root would fail its own attestation by running an action.
 */
const NO_CACHE = '/nonexistent'

/** The command that runs `execute(event)` of a Python file under the system's python3. @throws KeylimeError when there is none. */
export function pythonCommand(file: string, keylimeDir: string, settings: Readonly<Record<string, unknown>>) {
  const python = PYTHONS.find((candidate) => fs.existsSync(candidate))
  if (!python)
    throw new KeylimeError('script_failed', `${path.basename(file)} is a Python action, and this machine has no python3`, {
      hint: 'install python3, or write the action as an executable or in JavaScript',
    })
  const shim = writeShim(keylimeDir)
  const env = {
    PYTHONPATH: `${shim}:${path.dirname(file)}`,
    PYTHONDONTWRITEBYTECODE: '1',
    PYTHONPYCACHEPREFIX: NO_CACHE,
    KEYLIME_SHIM_SETTINGS: JSON.stringify(settings),
  }
  return { command: python, args: [path.join(shim, 'run_action.py'), file], env }
}

/** Writes the shim below `keylimeDir`, each time anew: what stands there is what this executable holds. */
function writeShim(keylimeDir: string): string {
  const directory = path.join(keylimeDir, 'python-shim')
  fs.mkdirSync(path.join(directory, 'keylime'), { recursive: true, mode: 0o755 })
  for (const name of SHIM_FILES) {
    const target = path.join(directory, name)
    const text = sea.isSea()
      ? sea.getAsset(`python/${name}`, 'utf8')
      : fs.readFileSync(path.join(import.meta.dirname, 'python', name), 'utf8')
    if (readOrNull(target) !== text) fs.writeFileSync(target, text, { mode: 0o644 })
  }
  return directory
}

function readOrNull(file: string): string | null {
  try {
    return fs.readFileSync(file, 'utf8')
  } catch {
    return null
  }
}
