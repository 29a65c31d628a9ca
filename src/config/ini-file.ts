/** `python`: RawConfigParser as upstream's Python services use it. `toml`: the `[agent]` file of the Rust agent, in which plain INI lines work too. */
export type Dialect = 'python' | 'toml'

export interface IniEntry {
  readonly section: string
  /** Lower case: option names do not depend on case, section names do. */
  readonly key: string
  /** Without the blanks and quotes around it. */
  readonly value: string
  /** Line of the key, from 1. */
  readonly line: number
  /** Last line of its value. */
  readonly end: number
}

export interface IniProblem {
  readonly line: number
  readonly message: string
}

/** Reads one configuration file. Never throws: all faults of the text are returned with their lines. An option or section given twice is a fault. */
export function readIniFile(text: string, dialect: Dialect = 'python'): { entries: IniEntry[]; problems: IniProblem[] } {
  const reader = new IniReader(dialect)
  text
    .replace(/^\uFEFF/, '')
    .split(/\r?\n/)
    .forEach((line, index) => {
      reader.line(line, index + 1)
    })
  return reader.end()
}

interface OpenEntry {
  section: string
  key: string
  line: number
  end: number
  indent: number
  lines: string[]
  /** Brackets that are open behind the last line. */
  brackets: number
}

class IniReader {
  readonly #dialect: Dialect
  readonly #problems: IniProblem[] = []
  readonly #entries: IniEntry[] = []
  readonly #seen = new Map<string, number>()
  #section: string | undefined
  #open: OpenEntry | undefined

  constructor(dialect: Dialect) {
    this.#dialect = dialect
  }

  line(line: string, number: number): void {
    const body = line.trim()
    if (/^[#;]/.test(body)) return
    if (body === '') {
      this.#open?.lines.push('')
      return
    }
    const indent = line.length - line.trimStart().length
    if (this.#open && (this.#openArray() || (indent > this.#open.indent && !this.#isWhole()))) {
      this.#open.lines.push(body)
      this.#open.brackets += openedIn(body)
      this.#open.end = number
      return
    }
    this.#close()
    const header = this.#dialect === 'toml' ? /^\[(.+)\](\s*#.*)?$/.exec(body) : /^\[(.+)\]/.exec(body) // Python leaves aside what stands behind
    if (header) this.#header(header[1] ?? '', number)
    else this.#option(body, indent, number)
  }

  end(): { entries: IniEntry[]; problems: IniProblem[] } {
    this.#close()
    return { entries: this.#entries, problems: this.#problems }
  }

  #header(name: string, number: number): void {
    this.#section = this.#dialect === 'toml' ? name.trim() : name
    this.#once(`[${this.#section}]`, number, `section [${this.#section}]`)
  }

  #option(body: string, indent: number, number: number): void {
    const delimiter = body.search(/[=:]/)
    const [name, value] = [body.slice(0, Math.max(delimiter, 0)).trimEnd(), body.slice(delimiter + 1).trimStart()]
    if (name === '') {
      this.#problems.push({ line: number, message: `"${shorten(body)}" is neither a section nor an option (name = value)` })
      return
    }
    if (this.#section === undefined) {
      this.#problems.push({ line: number, message: `option "${shorten(name)}" comes before any [section]` })
      return
    }
    const key = this.#dialect === 'toml' ? name.toLowerCase().replace(/^"(.*)"$/, '$1') : name.toLowerCase()
    this.#open = { section: this.#section, key, line: number, end: number, indent, lines: [value], brackets: openedIn(value) }
  }

  #close(): void {
    const open = this.#open
    this.#open = undefined
    if (!open) return
    if (!this.#once(`${open.section}.${open.key}`, open.line, `option "${open.key}" in [${open.section}]`)) return
    const joined = open.lines.join('\n').trim()
    const value = this.#dialect === 'toml' ? tomlText(joined) : withoutQuotes(joined)
    this.#entries.push({ section: open.section, key: open.key, value, line: open.line, end: open.end })
  }

  #once(name: string, number: number, what: string): boolean {
    const first = this.#seen.get(name)
    if (first === undefined) {
      this.#seen.set(name, number)
      return true
    }
    this.#problems.push({ line: number, message: `${what} is already set in line ${first}` })
    return false
  }

  /** A TOML text or array that has ended: an indented line behind it is an option of its own, there blanks mean nothing. */
  #isWhole(): boolean {
    return this.#dialect === 'toml' && this.#open !== undefined && /^["'[]/.test(this.#open.lines[0]!) && this.#open.brackets <= 0
  }

  /** A TOML array may end on a later line that is not indented. */
  #openArray(): boolean {
    return this.#dialect === 'toml' && this.#open !== undefined && this.#open.lines[0]!.startsWith('[') && this.#open.brackets > 0
  }
}

/** The text of a TOML value: a quoted string with its escapes resolved, anything else as it stands, both without a comment behind it. */
function tomlText(value: string): string {
  const basic = /^"((?:[^"\\]|\\.)*)"\s*(#.*)?$/.exec(value)
  if (basic) return (basic[1] ?? '').replace(/\\(u[0-9a-fA-F]{4}|U[0-9a-fA-F]{8}|.)/g, (_, e: string) => resolveEscape(e))
  const literal = /^'([^']*)'\s*(#.*)?$/.exec(value)
  if (literal) return literal[1] ?? ''
  return value.split('\n').map(withoutComment).join('\n').trim()
}

/** How many more brackets the line opens than it closes. */
const openedIn = (line: string): number => {
  const text = withoutComment(line)
  return text.split('[').length - text.split(']').length
}

/** What stands before the first `#` outside of quotes; all of a line in which a quote does not end. */
export function withoutComment(line: string): string {
  for (let at = 0; at < line.length; at++) {
    const character = line[at]!
    if (character === '#') return line.slice(0, at).trimEnd()
    if (character !== '"' && character !== "'") continue
    at = endOfQuote(line, at)
    if (at < 0) return line
  }
  return line
}

function endOfQuote(line: string, start: number): number {
  if (line[start] === "'") return line.indexOf("'", start + 1)
  for (let at = start + 1; at < line.length; at++) {
    if (line[at] === '"') return at
    if (line[at] === '\\') at++
  }
  return -1
}

const isQuoteOrBlank = (character: string | undefined): boolean => character !== undefined && /["\s]/.test(character)

function withoutQuotes(text: string): string {
  let [start, end] = [0, text.length]
  while (start < end && isQuoteOrBlank(text[start])) start++
  while (end > start && isQuoteOrBlank(text[end - 1])) end--
  return text.slice(start, end)
}

function resolveEscape(text: string): string {
  if (text.length === 1) return { n: '\n', t: '\t', r: '\r', b: '\b', f: '\f' }[text] ?? text
  const code = Number.parseInt(text.slice(1), 16)
  return code <= 0x10ffff ? String.fromCodePoint(code) : text
}

function shorten(text: string): string {
  return text.length > 40 ? `${text.slice(0, 40)}…` : text
}
