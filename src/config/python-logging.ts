import { type ConfigRoots, DEFAULT_ROOTS, type Environment, readComponentFiles } from './files.ts'

export const PYTHON_LEVELS = ['DEBUG', 'INFO', 'WARNING', 'ERROR', 'CRITICAL'] as const
export type PythonLevel = (typeof PYTHON_LEVELS)[number]

/** How upstream's programs log on this machine: with a logging.conf to stdout with times, else to stderr. */
export interface PythonLogging {
  readonly configured: boolean
  /** Lower ones are not printed. */
  readonly level: PythonLevel
}

/** Reads logging.conf by upstream's rules, as far as its own programs' output depends on it: whether it is there, and the level of the `keylime` logger. */
export function loadPythonLogging(env: Environment, roots: ConfigRoots = DEFAULT_ROOTS): PythonLogging {
  const { files, settings } = readComponentFiles('logging', env, roots)
  const levels = ['logger_keylime', 'handler_consoleHandler']
    .map((section) => settings.findLast((setting) => setting.section === section && setting.key === 'level')?.value.toUpperCase())
    .map((name) => PYTHON_LEVELS.indexOf(name as PythonLevel))
  return { configured: files.length > 0, level: PYTHON_LEVELS[Math.max(...levels)] ?? 'INFO' }
}
