import { CONTROLS } from '../printable.ts'

/** A value as Python's `repr` prints it: upstream's tools print dictionaries so, and scripts parse them. */
export function pythonRepr(value: unknown): string {
  if (value === null || value === undefined) return 'None'
  if (value === true) return 'True'
  if (value === false) return 'False'
  if (typeof value === 'string') return quoted(value)
  if (Array.isArray(value)) return `[${value.map(pythonRepr).join(', ')}]`
  if (typeof value === 'object')
    return `{${Object.entries(value)
      .map(([key, item]) => `${quoted(key)}: ${pythonRepr(item)}`)
      .join(', ')}}`
  return String(value)
}

/** A log line in upstream's form: with a logging.conf `time - name - LEVEL - text`, without one `LEVEL:name:text`. @param now milliseconds since the epoch. */
export function pythonLogLine(configured: boolean, record: { name: string; level: string; text: string; now: number }): string {
  const { name, level, text, now } = record
  if (!configured) return `${level}:${name}:${text}`
  const date = new Date(now - new Date(now).getTimezoneOffset() * 60_000).toISOString()
  return `${date.slice(0, 10)} ${date.slice(11, 23)} - ${name} - ${level} - ${text}`
}

function quoted(text: string): string {
  const quote = text.includes("'") && !text.includes('"') ? '"' : "'"
  const body = text
    .replace(/\\/g, escaped)
    .replace(CONTROLS, escaped)
    .replaceAll(quote, quote === "'" ? "\\'" : quote)
  return quote + body + quote
}

function escaped(character: string): string {
  const known = { '\\': '\\\\', '\n': '\\n', '\r': '\\r', '\t': '\\t' }[character]
  if (known) return known
  const code = character.codePointAt(0)!
  const [letter, digits] = code < 0x100 ? ['x', 2] : code < 0x10000 ? ['u', 4] : ['U', 8]
  return `\\${letter}${code.toString(16).padStart(digits as number, '0')}`
}
