import fs from 'node:fs'
import nodePath from 'node:path'
import { KeylimeError } from '../core/errors.ts'
import { type Dialect, type IniEntry, readIniFile } from './ini-file.ts'

export type Environment = Readonly<Record<string, string | undefined>>

export type Component = 'verifier' | 'registrar' | 'tenant' | 'ca' | 'agent' | 'logging'

/** The two directories that hold `<component>.conf` and `<component>.conf.d`; the second is the distribution's. */
export interface ConfigRoots {
  readonly etc: string
  readonly usrEtc: string
}

export const DEFAULT_ROOTS: ConfigRoots = { etc: '/etc/keylime', usrEtc: '/usr/etc/keylime' }

/** One setting as written: `where` is `file:line` or `environment NAME`. */
export interface Written {
  readonly section: string
  readonly key: string
  readonly value: string
  readonly where: string
}

export interface FoundSettings {
  readonly files: string[]
  /** Those of them that stand for themselves: no snippets. */
  readonly bases: string[]
  /** In the order of precedence, the winner last. */
  readonly settings: Written[]
  readonly problems: string[]
  readonly warnings: string[]
}

/** The directory of keys, databases and certificates: `KEYLIME_DIR`, else `/var/lib/keylime`. */
export function keylimeDirectory(env: Environment): string {
  return nodePath.resolve(env['KEYLIME_DIR'] || '/var/lib/keylime')
}

/**
 * Finds and reads the files of one component by upstream's rules. Python components: the file that `KEYLIME_<C>_CONFIG` names, alone; else the base file
 * of /etc, else of /usr/etc, and only with a base file the snippets of /usr/etc, then of /etc. Agent: all four layers merge, and a file that
 * `KEYLIME_AGENT_CONFIG` names must exist. Faults of a file are collected; only a directory that cannot be read throws.
 */
export function readComponentFiles(component: Component, env: Environment, roots: ConfigRoots, files?: readonly string[]): FoundSettings {
  const warnings: string[] = []
  const chosen = files ?? (component === 'agent' ? agentFiles(env, roots) : pythonFiles(component, env, roots, warnings))
  const dialect: Dialect = component === 'agent' ? 'toml' : 'python'
  const settings: Written[] = []
  const problems: string[] = []
  for (const file of chosen) {
    const text = readText(file)
    if (typeof text !== 'string') {
      problems.push(text.problem)
      continue
    }
    const parsed = readIniFile(text, dialect)
    settings.push(...withDefaults(parsed.entries, component).map((entry) => ({ ...entry, where: `${file}:${entry.line}` })))
    problems.push(...parsed.problems.map((problem) => `${file}:${problem.line}: ${problem.message}`))
  }
  const bases = chosen.filter((file) => !nodePath.dirname(file).endsWith('.conf.d'))
  warnings.push(...keylime6Files(env, roots))
  return { files: [...chosen], bases, settings, problems, warnings }
}

/** The environment with the file that `--config` names. @throws KeylimeError `config_invalid` when there is none: the standard files would count in its place. */
export function withConfigFile<E extends Environment>(env: E, component: Component, file: string | undefined): E {
  if (file === undefined) return env
  if (isFile(file)) return { ...env, [`KEYLIME_${component.toUpperCase()}_CONFIG`]: file }
  throw new KeylimeError('config_invalid', `--config: there is no file ${file}`, { hint: 'correct the path; nothing was started' })
}

function pythonFiles(component: Component, env: Environment, roots: ConfigRoots, warnings: string[]): string[] {
  const variable = `KEYLIME_${component.toUpperCase()}_CONFIG`
  const named = env[variable]
  if (named) {
    if (isFile(named)) return [named]
    warnings.push(`${variable} names ${named}, which is not a file: the standard files are read`)
  }
  const base = [roots.etc, roots.usrEtc].map((root) => nodePath.join(root, `${component}.conf`)).find(isFile)
  if (!base) return []
  return [base, ...snippets(component, roots.usrEtc), ...snippets(component, roots.etc)]
}

function agentFiles(env: Environment, roots: ConfigRoots): string[] {
  const named = env['KEYLIME_AGENT_CONFIG']
  if (named) {
    if (isFile(named)) return [named]
    throw new KeylimeError('config_invalid', `KEYLIME_AGENT_CONFIG names ${named}, which is not a file`, {
      hint: 'correct the variable, or unset it to use /etc/keylime/agent.conf',
    })
  }
  return [roots.usrEtc, roots.etc].flatMap((root) => [...[nodePath.join(root, 'agent.conf')].filter(isFile), ...snippets('agent', root)])
}

function snippets(component: Component, root: string): string[] {
  const directory = nodePath.join(root, `${component}.conf.d`)
  if (!fs.existsSync(directory)) return []
  return fs
    .readdirSync(directory)
    .sort()
    .filter((name) => !isLeftOver(name))
    .map((name) => nodePath.join(directory, name))
    .filter(isFile)
}

/** What editors and package managers leave beside the files that they change: upstream would read it, after the file itself. */
const isLeftOver = (name: string): boolean =>
  /^[.#]|~$|\.(bak|old|orig|save|swp|swo|tmp|disabled|rpm(new|save|orig)|(dpkg|ucf)-[a-z]+)$/i.test(name)

/** The one file of Keylime 6: nothing of it counts any more. */
function keylime6Files(env: Environment, roots: ConfigRoots): string[] {
  const file = nodePath.join(nodePath.dirname(roots.etc), 'keylime.conf')
  const named = env['KEYLIME_CONFIG']
  return [
    ...(isFile(file) ? [`${file} belongs to Keylime 6 and is not read: each role has its own file in ${roots.etc}`] : []),
    ...(named ? [`environment KEYLIME_CONFIG (${named}) belongs to Keylime 6 and is not read: name the file with --config`] : []),
  ]
}

/** What `[DEFAULT]` says holds for every section that does not say otherwise, as in RawConfigParser. */
function withDefaults(entries: readonly IniEntry[], component: Component): IniEntry[] {
  const named = entries.filter((entry) => entry.section !== 'DEFAULT')
  const inherited = entries
    .filter((entry) => entry.section === 'DEFAULT')
    .filter((entry) => !named.some((other) => other.section === component && other.key === entry.key))
  return [...named, ...inherited.map((entry) => ({ ...entry, section: component }))]
}

function readText(file: string): string | { problem: string } {
  try {
    return fs.readFileSync(file, 'utf8')
  } catch (error) {
    return { problem: `${file}: cannot be read: ${(error as Error).message} (\`ls -l ${file}\` shows who may)` }
  }
}

function isFile(file: string): boolean {
  return fs.statSync(file, { throwIfNoEntry: false })?.isFile() ?? false
}
