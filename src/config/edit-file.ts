import { KeylimeError } from '../core/errors.ts'
import { defaultText } from './describe.ts'
import type { Component } from './files.ts'
import { type Dialect, type IniEntry, readIniFile, withoutComment } from './ini-file.ts'
import type { Option } from './option.ts'

/** One option that gets a value in a file. */
export interface Change {
  readonly section: string
  readonly option: string
  /** An older name that the file may have for it. */
  readonly formerly?: string | undefined
  /** What stands behind `=`: one line. */
  readonly text: string
  /** Whether what a reader finds behind `=` is what was meant. */
  isMeant(value: string): boolean
}

export interface Changed {
  readonly text: string
  /** Where the option stands now, from 1. */
  readonly line: number
}

/**
 * The text of a configuration file with one value changed: in its line when it is there, else below its commented example, else at the end of its section, which
 * is made when it is missing. Everything else stays as it is, to the byte. @throws KeylimeError `config_invalid` when the file cannot be read as one, or the value
 * would be read as something else: then nothing of the kind is written.
 */
export function changeFile(text: string, dialect: Dialect, change: Change): Changed {
  const before = readable(text, dialect)
  if (/[\r\n\0]/.test(change.text)) throw new KeylimeError('usage', 'a value must be one line', { hint: 'write it as a list in one line' })
  const eol = text.includes('\r\n') ? '\r\n' : '\n'
  const lines = text.split(/\r?\n/)
  const place = placeIn(lines, before, change)
  const written = 'entry' in place ? replaced(lines, place.entry, dialect, change) : [...place.above, `${change.option} = ${change.text}`]
  const [from, to] = 'entry' in place ? [place.entry.line - 1, place.entry.end] : [place.at, place.at]
  const after = lines.toSpliced(from, to - from, ...written.map((line) => line.trimEnd())).join(eol)
  requireOnly(before, readIniFile(after, dialect), change)
  return { text: after, line: from + written.length }
}

export interface Removed {
  readonly text: string
  /** Where the option stood, from 1. */
  readonly lines: readonly number[]
}

/**
 * The text of a configuration file without one option, under its name and its older one: each of its lines goes, with a comment behind the value. Everything else
 * stays as it is, to the byte. @throws KeylimeError `config_invalid` when the file cannot be read as one.
 */
export function removeFromFile(text: string, dialect: Dialect, named: Named): Removed {
  const before = readable(text, dialect)
  const gone = before.filter((entry) => isNamed(entry, named))
  const eol = text.includes('\r\n') ? '\r\n' : '\n'
  const kept = text.split(/\r?\n/).filter((_, index) => !gone.some(({ line, end }) => line - 1 <= index && index < end))
  const after = kept.join(eol)
  requireOthers(before, readIniFile(after, dialect), named)
  return { text: after, lines: gone.map(({ line }) => line) }
}

/** How a value is written into the file of a role, so that upstream's program reads the same. @param parsed what `text` means. */
export function fileText(component: Component, option: Option<unknown>, text: string, parsed: unknown): string {
  const isPlain = typeof parsed === 'boolean' || (typeof parsed === 'number' && typeof option.default === 'number')
  if (component === 'agent') return isPlain ? String(parsed) : JSON.stringify(text)
  const isListOfTexts = Array.isArray(parsed) && parsed.every((item) => typeof item === 'string')
  return typeof parsed === 'boolean' || (isListOfTexts && Array.isArray(option.default)) ? defaultText(component, parsed) : text
}

type Place = { readonly entry: IniEntry } | { readonly at: number; readonly above: readonly string[] }

function placeIn(lines: readonly string[], entries: readonly IniEntry[], { section, option, formerly }: Change): Place {
  const own = entries.filter((entry) => entry.section === section)
  const entry = own.findLast(({ key }) => key === option || key === formerly)
  if (entry) return { entry }
  const header = lines.findIndex((line) => headerOf(line) === section)
  if (header < 0) {
    const end = lines.at(-1)?.trim() === '' ? lines.length - 1 : lines.length
    const isFirst = lines.slice(0, end).every((line) => line.trim() === '')
    return { at: end, above: isFirst ? [`[${section}]`] : ['', `[${section}]`] }
  }
  const next = lines.findIndex((line, i) => i > header && headerOf(line) !== undefined)
  const limit = next < 0 ? lines.length : next
  const example = lines.findIndex((line, i) => i > header && i < limit && new RegExp(`^\\s*[#;]\\s*${option}\\s*[=:]`).test(line))
  if (example >= 0 && !own.some(({ line, end }) => line <= example && example < end)) return { at: example + 1, above: [] }
  return { at: own.at(-1)?.end ?? header + 1, above: [] }
}

const headerOf = (line: string): string | undefined => /^\[([^\]]+)\]/.exec(line.trim())?.[1]?.trim()

/** Name, blanks and a comment behind the value stay as they are. */
function replaced(lines: readonly string[], { line, end }: IniEntry, dialect: Dialect, { text }: Change): string[] {
  const old = lines[line - 1]!
  const [start = ''] = /^[^=:]*[=:][ \t]*/.exec(old) ?? []
  const remark = dialect === 'toml' && line === end ? old.slice(withoutComment(old).length) : ''
  return [`${start}${/[=:]$/.test(start) ? ' ' : ''}${text}${remark}`]
}

/** @throws KeylimeError `config_invalid`. */
function readable(text: string, dialect: Dialect): readonly IniEntry[] {
  const { entries, problems } = readIniFile(text, dialect)
  if (problems.length > 0)
    throw new KeylimeError('config_invalid', `line ${problems[0]!.line}: ${problems[0]!.message}`, {
      hint: 'correct the file first: nothing was changed',
    })
  return entries
}

type Named = Pick<Change, 'section' | 'option' | 'formerly'>

const isNamed = ({ section, key }: IniEntry, named: Named) => section === named.section && (key === named.option || key === named.formerly)

/** The net below the cutting above: what is written must be read as meant, and all else as before. */
function requireOnly(before: readonly IniEntry[], after: ReturnType<typeof readIniFile>, change: Change): void {
  const own = after.entries.findLast((entry) => isNamed(entry, change))
  if (!own || !change.isMeant(own.value))
    throw new KeylimeError(
      'usage',
      `this value of ${change.option} cannot be written into a file, because it would be read as a different one`,
      {
        hint: 'quotes and blanks around a value are not part of it',
      },
    )
  requireOthers(before, after, change)
}

/** All other options are read as before. @throws KeylimeError `config_invalid`. */
function requireOthers(before: readonly IniEntry[], after: ReturnType<typeof readIniFile>, named: Named): void {
  const others = (entries: readonly IniEntry[]) =>
    JSON.stringify(entries.filter((entry) => !isNamed(entry, named)).map(({ section, key, value }) => [section, key, value]))
  if (after.problems.length > 0 || others(before) !== others(after.entries))
    throw new KeylimeError('config_invalid', `a changed ${named.option} would change the meaning of other lines`, {
      hint: 'edit the file by hand; nothing was changed',
    })
}
