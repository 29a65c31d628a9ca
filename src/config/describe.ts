import { Secret } from '../core/secret.ts'
import type { Component } from './files.ts'
import type { Option, OptionTable } from './option.ts'

/**
 * The commented configuration file of a component, every option with its doc and its default. Reading it back gives exactly the defaults. An option
 * that is an addition of this project is commented out, so that upstream's programs can read the same file without a word.
 */
export function describeAsFile(component: Component, table: OptionTable): string {
  const parts: string[] = [`# Configuration of the ${component}. Options that are not given have the value shown here.`]
  for (const section of sectionsOf(component, table)) {
    parts.push(`[${section}]`)
    for (const [name, option] of Object.entries(table)) {
      if ((option.section ?? component) === section) parts.push(fileEntry(component, name, option))
    }
  }
  return `${parts.join('\n\n')}\n`
}

/** A markdown table of all options, for the documentation. */
export function describeAsMarkdown(component: Component, table: OptionTable): string {
  const rows = Object.entries(table).map(([name, option]) => {
    const place = option.section ? `\`[${option.section}]\` ` : ''
    return `| ${place}\`${name}\` | ${code(defaultText(component, option.default))} | ${cell(remark(option))} |`
  })
  return [`| Option of \`[${component}]\` | Default | Meaning |`, '|---|---|---|', ...rows, ''].join('\n')
}

/** The role's own section first. */
export function sectionsOf(component: Component, table: OptionTable): string[] {
  return [...new Set([component, ...Object.values(table).map((option) => option.section ?? component)])]
}

function fileEntry(component: Component, name: string, option: Option<unknown>): string {
  const lines = wrap(remark(option), 100).map((line) => `# ${line}`)
  lines.push(`${option.ours ? '# ' : ''}${name} = ${defaultText(component, option.default)}`.trimEnd())
  return lines.join('\n')
}

/** The doc of an option, and what else is to be said of it. */
export function remark(option: Option<unknown>): string {
  if (option.unused) return `${option.doc} Accepted, without effect here.`
  if (option.formerly) return `${option.doc} (Formerly ${option.formerly}.)`
  return option.ours ? `${option.doc} (Not known upstream.)` : option.doc
}

/** A value as it is written into the file. */
export function defaultText(component: Component, value: unknown): string {
  const toml = component === 'agent'
  if (value instanceof Secret) return toml ? JSON.stringify(value.reveal()) : value.reveal()
  if (typeof value === 'boolean') return toml ? String(value) : value ? 'True' : 'False'
  if (Array.isArray(value)) {
    if (value.length === 1 && (value[0] === 'default' || value[0]?.kind === 'default')) return toml ? '"default"' : 'default'
    return toml || value.some((item) => typeof item !== 'string')
      ? JSON.stringify(value)
      : `[${value.map((item) => `'${item}'`).join(', ')}]`
  }
  if (typeof value === 'string' && toml) return JSON.stringify(value)
  return String(value ?? '')
}

function wrap(text: string, width: number): string[] {
  const lines: string[] = []
  let line = ''
  for (const word of text.split(' ')) {
    if (line && line.length + word.length + 1 > width) {
      lines.push(line)
      line = word
    } else line = line ? `${line} ${word}` : word
  }
  return [...lines, line]
}

const code = (text: string) => (text === '' ? '(empty)' : `\`${text}\``)
const cell = (text: string) => text.replaceAll('|', '\\|')
