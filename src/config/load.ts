import { nearestWord } from '../core/cli/nearest-word.ts'
import { KeylimeError } from '../core/errors.ts'
import { credentialName, readCredential } from './credentials.ts'
import {
  type Component,
  type ConfigRoots,
  DEFAULT_ROOTS,
  type Environment,
  type FoundSettings,
  keylimeDirectory,
  readComponentFiles,
} from './files.ts'
import { keylime6Advice } from './keylime-6.ts'
import { openSecrets } from './open-secrets.ts'
import { isSetBy, type Option, type OptionTable, type Values } from './option.ts'

export interface LoadOptions {
  readonly env: Environment
  /** Read exactly these files, in this order, instead of searching. */
  readonly files?: readonly string[]
  /** Other directories than /etc/keylime and /usr/etc/keylime. */
  readonly roots?: ConfigRoots
  /** Values that cannot be used count as their defaults, and are told in `problems`. */
  readonly tolerant?: boolean
}

export interface Config<T extends OptionTable> {
  readonly values: Values<T>
  /** Where each value comes from: `default`, `file:line`, `credential NAME` or `environment NAME`. */
  readonly origin: Readonly<Record<keyof T & string, string>>
  /** What files and environment say, of options that are not defaults. */
  readonly written: Readonly<Record<string, string>>
  /** The files that were read, in order. */
  readonly files: readonly string[]
  /** Settings that nobody knows, and the like: to be logged, not fatal. */
  readonly warnings: readonly string[]
  /** What cannot be used; none, unless it was asked to be tolerant. */
  readonly problems: readonly string[]
  /** Absolute `KEYLIME_DIR`, to which relative paths refer. */
  readonly keylimeDir: string
}

/**
 * Loads one component's settings: defaults of the table, then files, then systemd's credentials for what is secret, then environment
 * (`KEYLIME_<C>[_<SECTION>]_<OPTION>`), by upstream's rules for files and precedence. All values that cannot be used are reported in ONE KeylimeError `config_invalid`, each with file and line. An option that the
 * table does not know gives a warning, never a failure.
 */
export function loadConfig<T extends OptionTable>(component: Component, table: T, load: LoadOptions): Config<T> {
  const found = readComponentFiles(component, load.env, load.roots ?? DEFAULT_ROOTS, load.files)
  const problems = [...found.problems, ...foreignFiles(component, table, found)]
  const written = lastOfEach(component, table, found, { env: load.env, problems })
  const values: Record<string, unknown> = {}
  const origin: Record<string, string> = {}
  const said: Record<string, string> = {}
  for (const [name, option] of Object.entries(table)) {
    const setting = written.get(name)
    values[name] = option.default
    origin[name] = setting?.where ?? 'default'
    if (!setting) continue
    said[name] = setting.value
    try {
      values[name] = option.parse(setting.value)
    } catch (error) {
      problems.push(
        `${setting.where}: ${name} = ${shown(option, setting.value)}: ${error instanceof Error ? error.message : String(error)}`,
      )
    }
  }
  if (!load.tolerant) refuseProblems(component, problems)
  return {
    problems,
    written: said,
    values: values as Values<T>,
    origin: origin as Config<T>['origin'],
    files: found.files,
    warnings: [
      ...found.warnings,
      ...unknownSettings(component, table, found),
      ...unknownVariables(component, table, load.env),
      ...idleSettings(table, values, origin),
      ...openSecrets(component, table, found.settings),
    ],
    keylimeDir: keylimeDirectory(load.env),
  }
}

/** The name of the environment variable that sets an option. */
export function variableOf(component: Component, name: string, option: Option<unknown>): string {
  const section = option.section && option.section !== component ? `${option.section}_` : ''
  return `KEYLIME_${component}_${section}${name}`.toUpperCase()
}

function lastOfEach(
  component: Component,
  table: OptionTable,
  found: FoundSettings,
  { env, problems }: { env: Environment; problems: string[] },
): Map<string, { value: string; where: string }> {
  const last = new Map<string, { value: string; where: string }>()
  for (const [name, option] of Object.entries(table)) {
    for (const setting of found.settings) if (isSetBy(setting, component, [name, option])) last.set(name, setting)
    if (option.secret) {
      const where = `credential ${credentialName(component, name)}`
      try {
        const value = readCredential(component, name, env)
        if (value !== undefined) last.set(name, { value, where })
      } catch (error) {
        problems.push(`${where}: ${(error as Error).message}`)
      }
    }
    for (const variable of [option.env, variableOf(component, name, option)]) {
      const value = variable ? env[variable] : undefined
      if (value !== undefined)
        last.set(name, { value: option.secret ? value : value.replace(/^["\s]+|["\s]+$/g, ''), where: `environment ${variable}` })
    }
  }
  return last
}

const knownSettings = (component: Component, table: OptionTable): ReadonlySet<string> =>
  new Set(Object.entries(table).flatMap(([name, { section = component, formerly }]) => [`${section}.${name}`, `${section}.${formerly}`]))

const sectionsOf = (component: Component, table: OptionTable) => new Set(Object.values(table).map((option) => option.section ?? component))

/** Whole files of which nothing counts: those of another program or version, which would pass as a start with all defaults. Snippets are left out. */
function foreignFiles(component: Component, table: OptionTable, { settings, bases }: FoundSettings): string[] {
  const known = sectionsOf(component, table)
  return bases.flatMap((file) => {
    const written = settings.filter(({ where }) => where.startsWith(`${file}:`))
    if (written.length === 0 || written.some(({ section }) => known.has(section))) return []
    const sections = [...new Set(written.map(({ section }) => `[${section}]`))].join(', ')
    const advice = written.map((setting) => keylime6Advice(setting)).filter((text) => text !== undefined)
    return [`${file}: nothing in it is a setting of the ${component}; its sections are ${sections}`, ...advice]
  })
}

/** Options that were set to something else than their default, and have no effect. */
function idleSettings(table: OptionTable, values: Record<string, unknown>, origin: Record<string, string>): string[] {
  return Object.entries(table)
    .filter(([name, option]) => option.unused && origin[name] !== 'default' && String(values[name]) !== String(option.default))
    .map(([name, { doc }]) => `${origin[name]}: ${name} has no effect here. ${doc}`)
}

function unknownSettings(component: Component, table: OptionTable, found: FoundSettings): string[] {
  const known = knownSettings(component, table)
  const sections = sectionsOf(component, table)
  return found.settings
    .filter((setting) => !known.has(`${setting.section}.${setting.key}`))
    .map((setting) => {
      const advice = keylime6Advice(setting)
      if (advice) return advice
      if (!sections.has(setting.section))
        return `${setting.where}: [${setting.section}] is not a section of the ${component}: "${setting.key}" is ignored`
      const elsewhere = Object.hasOwn(table, setting.key) ? (table[setting.key]!.section ?? component) : undefined
      if (elsewhere !== undefined)
        return `${setting.where}: "${setting.key}" belongs in [${elsewhere}], not in [${setting.section}]: it is ignored`
      return `${setting.where}: "${setting.key}" is not an option of the ${component}: it is ignored${suggestion(setting.key, Object.keys(table))}`
    })
}

function unknownVariables(component: Component, table: OptionTable, env: Environment): string[] {
  const prefix = `KEYLIME_${component.toUpperCase()}_`
  const known = new Set(Object.entries(table).flatMap(([name, option]) => [variableOf(component, name, option), option.env]))
  return Object.keys(env)
    .filter((name) => name.startsWith(prefix) && name !== `${prefix}CONFIG` && !known.has(name))
    .map((name) => {
      const wanted = [...known].find((other) => other?.endsWith(`_${name.slice(prefix.length)}`)) // its section was left out
      const meant =
        wanted ??
        nearestWord(
          name.toLowerCase(),
          [...known].flatMap((other) => (other ? [other.toLowerCase()] : [])),
        )?.toUpperCase()
      return `environment ${name} is not an option of the ${component}: it is ignored${meant ? ` (did you mean ${meant}?)` : ''}`
    })
}

function suggestion(key: string, names: string[]): string {
  const plain = (text: string) => text.replaceAll(/[_-]/g, '')
  const near =
    names.find((name) => plain(name) === plain(key) || (key.length > 5 && (name.startsWith(key) || key.startsWith(name)))) ??
    nearestWord(key, names)
  return near ? ` (did you mean "${near}"?)` : ''
}

function shown(option: Option<unknown>, given: string): string {
  const value = option.shown?.(given) ?? given
  return option.secret ? '[secret]' : JSON.stringify(value.length > 80 ? `${value.slice(0, 80)}…` : value)
}

/** @throws KeylimeError `config_invalid` that lists them, if there are any. */
export function refuseProblems(component: Component, problems: readonly string[]): void {
  if (problems.length === 0) return
  const count = problems.length === 1 ? 'a setting' : `${problems.length} settings`
  throw new KeylimeError(
    'config_invalid',
    `the ${component}'s configuration has ${count} that cannot be used:\n  ${problems.join('\n  ')}`,
    {
      hint: 'correct the lines named above; nothing was started',
      details: { problems },
    },
  )
}
