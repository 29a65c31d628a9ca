import { isWildcard, readHost } from '../core/api/host.ts'
import { Secret } from '../core/secret.ts'
import { type Literal, parsePythonLiteral } from './python-literal.ts'

/** Turns the text of a setting into its value, or throws an Error whose message says what the text must look like. */
export type Parse<T> = (text: string) => T

/** One setting of a role: the single source for the loader, `--check-config`, the generated file and the generated documentation. */
export interface Option<T> {
  readonly parse: Parse<T>
  readonly default: T
  /** One or two sentences for the operator; says the unit and what special words mean. */
  readonly doc: string
  /** The section of the file when it is not the role's own. */
  readonly section?: string
  /** The value is never printed. */
  readonly secret?: boolean
  /** How a value is printed that may have a secret in it. */
  readonly shown?: (text: string) => string
  /** An older name of upstream's for it, still understood. */
  readonly formerly?: string
  /** A further environment variable that sets it, beside `KEYLIME_<ROLE>_<OPTION>`. */
  readonly env?: string
  /** Not an option of upstream's: an addition of this project. */
  readonly ours?: boolean
  /** Understood, but without effect here; the doc says why. */
  readonly unused?: boolean
}

/** Whether a text of this option is, or has in it, what nobody else may read. */
export const holdsSecret = (option: Option<unknown>, text: string): boolean =>
  option.secret === true || (option.shown !== undefined && option.shown(text) !== text)

/** Whether a line of a file sets this option. @param name of the option in its table. */
export const isSetBy = (
  { section, key }: { readonly section: string; readonly key: string },
  component: string,
  [name, option]: readonly [string, Option<unknown>],
): boolean => section === (option.section ?? component) && (key === name || key === option.formerly)

/** A text of this option as anybody may see it. */
export const shownText = (option: Option<unknown>, text: string): string => (option.secret ? '[secret]' : (option.shown?.(text) ?? text))

/** Whether a text means a value; one that cannot be used means none. */
export function isValue(option: Option<unknown>, text: string, value: unknown): boolean {
  try {
    return plain(option.parse(text)) === plain(value)
  } catch {
    return false
  }
}

const plain = (value: unknown): string | undefined => (value instanceof Secret ? value.reveal() : JSON.stringify(value))

// biome-ignore lint/suspicious/noExplicitAny: a table mixes value types, each option keeps its own
export type OptionTable = Readonly<Record<string, Option<any>>>

/** The typed values of a table: option name to parsed value. */
export type Values<T extends OptionTable> = { readonly [K in keyof T]: T[K] extends Option<infer V> ? V : never }

export function option<T>(definition: Omit<Option<T>, 'default'> & { readonly default: NoInfer<T> }): Option<T> {
  return definition
}

/** Declares a role's table; the names are upstream's option names. */
export function options<T extends OptionTable>(table: T): T {
  return table
}

/** Any text; quotes and blanks around it are not part of it. */
export const text: Parse<string> = (value) => value

/** A path. Relative ones are below `KEYLIME_DIR`; the role resolves them. */
export const path: Parse<string> = (value) => {
  if (value.includes('\0')) throw new Error('must not contain a zero byte')
  return value
}

export const secret: Parse<Secret> = (value) => new Secret(value)

export const integer: Parse<number> = (value) => {
  if (!/^[+-]?\d+$/.test(value)) throw new Error('must be a whole number')
  return Number(value)
}

/** A whole number within the bounds, both included. */
export function integerBetween(low: number, high: number): Parse<number> {
  return (value) => {
    const number = integer(value)
    if (number < low || number > high) throw new Error(`must be a whole number from ${low} to ${high}`)
    return number
  }
}

/** A host name or an IP address, without brackets; the wildcards count only where something listens. */
export const host: Parse<string> = (value) => {
  const reading = readHost(value)
  if ('defect' in reading) throw new Error(`it ${reading.defect}`)
  return reading.host
}

/** The same, or nothing. */
export const optionalHost: Parse<string> = (value) => (value === '' ? '' : host(value))

/** An address under which others reach this machine. */
export const contactHost: Parse<string> = (value) => {
  const read = host(value)
  if (isWildcard(read)) throw new Error('it means all addresses of a machine, and nobody else can reach it: give one of them')
  return read
}

/** Names and addresses, each one that a certificate can have. */
export const hostList: Parse<string[]> = (value) => list(value).map((item) => namedHost(item))

function namedHost(item: string): string {
  const name = item.replace(/^\*\./, '')
  const reading = readHost(name)
  if ('defect' in reading) throw new Error(`${JSON.stringify(item)}: it ${reading.defect}`)
  return name === item ? reading.host : item
}

/** An http or https URL, or nothing. */
export const httpUrl: Parse<string> = (value) => {
  const url = URL.parse(value)
  if (value === '' || (url && ['http:', 'https:'].includes(url.protocol))) return value
  throw new Error('must be a complete http or https URL, such as https://10.0.0.1:38080/revocations')
}

/** A URL as anybody may see it: without user and password, and without what it asks, in which tokens stand. */
export const publicUrl = (url: string): string =>
  url.replace(/(:\/\/)[^/?#]*@/, '$1[secret]@').replace(/([?&][^=&#]*=)[^&#]+/g, '$1[secret]')

/** Seconds, as a decimal number from zero to what a timer can wait. */
export const seconds: Parse<number> = (value) => {
  const number = decimal(value)
  if (number > MAX_TIMER_SECONDS) throw new Error(`must be at most ${MAX_TIMER_SECONDS} seconds (24 days)`)
  return number
}

/** The same for what is only compared: up to a hundred years. */
export const longSeconds: Parse<number> = (value) => {
  const number = decimal(value)
  if (number > 3_153_600_000) throw new Error('must be at most 3153600000 seconds (a hundred years)')
  return number
}

/** Timers count milliseconds in 31 bits; a longer one would end at once. */
export const MAX_TIMER_SECONDS = 2_147_483

function decimal(value: string): number {
  if (!/^\+?(\d+\.?\d*|\.\d+)$/.test(value)) throw new Error('must be a number of seconds, such as 2 or 0.5')
  return Number(value)
}

/** A TCP port; 0 lets the system choose a free one. */
export const port: Parse<number> = (value) => {
  if (!/^\d{1,5}$/.test(value) || Number(value) > 65_535) throw new Error('must be a port number from 0 to 65535')
  return Number(value)
}

export const boolean: Parse<boolean> = (value) => {
  const word = value.toLowerCase()
  if (['1', 'yes', 'true', 'on'].includes(word)) return true
  if (['0', 'no', 'false', 'off'].includes(word)) return false
  throw new Error('must be true or false (also yes, no, on, off, 1, 0)')
}

/** One of the given words, spelled exactly so. */
export function oneOf<const W extends string>(...words: W[]): Parse<W> {
  return (value) => {
    const found = words.find((word) => word === value)
    if (found === undefined) throw new Error(`must be one of: ${words.join(', ')}`)
    return found
  }
}

/** Texts, as a Python list `['a', 'b']`, a TOML array, `[a, b]` or `a, b`. Empty text is the empty list. */
export const list: Parse<string[]> = (value) => {
  const trimmed = value.trim()
  if (/^\[\s*(['"\]]|\d)/.test(trimmed)) return sequence(trimmed).map((item) => String(item).trim())
  const inner = /^\[(.*)\]$/s.exec(trimmed)?.[1] ?? trimmed
  if (/[[\]]/.test(inner)) throw new Error("must be a list such as ['a', 'b'] or a, b")
  return inner
    .split(/[,\n]/)
    .map((item) => item.trim().replace(/^(['"])(.*)\1$/, '$2'))
    .filter((item) => item !== '')
}

/** A list whose members may be objects, as a Python or JSON literal; `check` turns each member into its type or throws. */
export function literalList<T>(check: (item: Literal) => T): Parse<T[]> {
  return (value) => sequence(value.trim()).map(check)
}

function sequence(value: string): Literal[] {
  const literal = parsePythonLiteral(value)
  if (!Array.isArray(literal)) throw new Error("must be a list such as ['a', 'b']")
  return literal
}
