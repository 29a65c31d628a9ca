import { printableJson } from '../core/printable.ts'
import { defaultText, sectionsOf } from './describe.ts'
import type { Component, Environment } from './files.ts'
import { type LoadOptions, loadConfig } from './load.ts'
import { isValue, type Option, type OptionTable } from './option.ts'

/** Who said what a value is. */
export type Origin =
  | { readonly from: 'default' }
  | { readonly from: 'file'; readonly file: string; readonly line: number }
  | { readonly from: 'credential'; readonly name: string }
  | { readonly from: 'environment'; readonly variable: string }

/** One option as it counts now. */
export interface EffectiveSetting {
  readonly section: string
  readonly option: string
  /** As written, else the default; `[secret]` for a secret that somebody set. */
  readonly value: string
  readonly default: string
  readonly origin: Origin
  /** The value, or a text that cannot be used, is another one than the default. */
  readonly differs: boolean
}

export interface Effective {
  readonly component: Component
  /** The files that were read, in order. */
  readonly files: readonly string[]
  readonly settings: readonly EffectiveSetting[]
}

/** Every option as it counts now: defaults, files and environment. Never throws for what a file says; a value that cannot be used is shown as it is written. */
export function effectiveSettings(component: Component, table: OptionTable, load: Omit<LoadOptions, 'tolerant'>): Effective {
  const { origin, written, files } = loadConfig(component, table, { ...load, tolerant: true })
  const settings = sectionsOf(component, table).flatMap((section) =>
    Object.entries(table)
      .filter(([, option]) => (option.section ?? component) === section)
      .map(([name, option]) => {
        const text = written[name]
        const standard = defaultText(component, option.default)
        return {
          section,
          option: name,
          value: text === undefined ? standard : option.secret ? '[secret]' : (option.shown?.(text) ?? text),
          default: standard,
          origin: originOf(origin[name] ?? 'default'),
          differs: text !== undefined && !isDefault(option, text),
        }
      }),
  )
  return { component, files, settings }
}

/** What `--show-config` and `keylime config show` print: a file that could be read back, or one JSON object. @param show.origin where each value comes from. */
export function shownConfig(effective: Effective, show: { readonly origin: boolean; readonly json: boolean }): string[] {
  if (show.json) return [printableJson(JSON.stringify(configJson(effective)))]
  return [heading(effective), ...settingLines(effective.settings, (setting) => (show.origin ? originText(setting.origin) : ''))]
}

/** `--show-config` of a role. */
export const showConfig = (component: Component, table: OptionTable, env: Environment, json = false): string[] =>
  shownConfig(effectiveSettings(component, table, { env }), { origin: true, json })

/** The documented form for programs. */
export const configJson = ({ component, files, settings }: Effective) => ({
  role: component,
  files,
  options: settings.map(({ section, option, value, default: standard, origin, differs }) => ({
    section,
    option,
    value,
    default: standard,
    origin,
    differs,
  })),
})

export const heading = ({ component, files }: Effective): string =>
  `# ${component}: ${files.length > 0 ? files.join(', ') : 'no configuration file'}`

/** `option = value`, below the header of its section. @param remark stands behind it as a comment, unless it is empty. */
export function settingLines(settings: readonly EffectiveSetting[], remark: (setting: EffectiveSetting) => string): string[] {
  return [...new Set(settings.map(({ section }) => section))].flatMap((section) => [
    '',
    `[${section}]`,
    ...settings
      .filter((setting) => setting.section === section)
      .map((setting) => {
        const text = remark(setting)
        return `${`${setting.option} = ${setting.value}`.trimEnd()}${text ? `  # ${text}` : ''}`
      }),
  ])
}

/** `default`, `FILE:LINE`, `credential NAME` or `environment NAME`. */
export function originText(origin: Origin): string {
  if (origin.from === 'file') return `${origin.file}:${origin.line}`
  if (origin.from === 'credential') return `credential ${origin.name}`
  return origin.from === 'environment' ? `environment ${origin.variable}` : 'default'
}

function originOf(where: string): Origin {
  const [, variable] = /^environment (.+)$/.exec(where) ?? []
  if (variable !== undefined) return { from: 'environment', variable }
  const [, name] = /^credential (.+)$/.exec(where) ?? []
  if (name !== undefined) return { from: 'credential', name }
  const [, file, line] = /^(.+):(\d+)$/.exec(where) ?? []
  return file === undefined ? { from: 'default' } : { from: 'file', file, line: Number(line) }
}

const isDefault = (option: Option<unknown>, text: string): boolean => isValue(option, text, option.default)
