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
  indent: number
  lines: string[]
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
    if (this.#open && (indent > this.#open.indent || this.#openArray())) {
      this.#open.lines.push(body)
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
    const parts = /^(.*?)\s*[=:]\s*(.*)$/.exec(body)
    if (!parts?.[1]) {
      this.#problems.push({ line: number, message: `"${shorten(body)}" is neither a section nor an option (name = value)` })
      return
    }
    if (this.#section === undefined) {
      this.#problems.push({ line: number, message: `option "${shorten(parts[1])}" stands before any [section]` })
      return
    }
    const key = parts[1].toLowerCase().replace(/^"(.*)"$/, '$1')
    this.#open = { section: this.#section, key, line: number, indent, lines: [parts[2] ?? ''] }
  }

  #close(): void {
    const open = this.#open
    this.#open = undefined
    if (!open) return
    if (!this.#once(`${open.section}.${open.key}`, open.line, `option "${open.key}" in [${open.section}]`)) return
    const joined = open.lines.join('\n').trim()
    const value = this.#dialect === 'toml' ? tomlText(joined) : joined.replace(/^["\s]+|["\s]+$/g, '')
    this.#entries.push({ section: open.section, key: open.key, value, line: open.line })
  }

  #once(name: string, number: number, what: string): boolean {
    const first = this.#seen.get(name)
    if (first === undefined) {
      this.#seen.set(name, number)
      return true
    }
    this.#problems.push({ line: number, message: `${what} was given before, in line ${first}` })
    return false
  }

  /** A TOML array may end on a later line that is not indented. */
  #openArray(): boolean {
    if (this.#dialect !== 'toml' || !this.#open?.lines[0]?.startsWith('[')) return false
    const text = this.#open.lines.map(withoutComment).join('\n')
    return text.split('[').length > text.split(']').length
  }
}

/** The text of a TOML value: a quoted string with its escapes resolved, anything else as it stands, both without a comment behind it. */
function tomlText(value: string): string {
  const basic = /^"((?:[^"\\]|\\.)*)"\s*(#.*)?$/.exec(value)
  if (basic) return (basic[1] ?? '').replace(/\\(u[0-9a-fA-F]{4}|.)/g, (_, e: string) => resolveEscape(e))
  const literal = /^'([^']*)'\s*(#.*)?$/.exec(value)
  if (literal) return literal[1] ?? ''
  return value.split('\n').map(withoutComment).join('\n').trim()
}

function withoutComment(line: string): string {
  const match = /^((?:"(?:[^"\\]|\\.)*"|'[^']*'|[^"'#])*?)\s*#.*$/.exec(line)
  return match ? (match[1] ?? '') : line
}

function resolveEscape(code: string): string {
  if (code.length === 5) return String.fromCharCode(Number.parseInt(code.slice(1), 16))
  return { n: '\n', t: '\t', r: '\r' }[code] ?? code
}

function shorten(text: string): string {
  return text.length > 40 ? `${text.slice(0, 40)}…` : text
}
