import { styleText } from 'node:util'

export interface TerminalOptions {
  readonly stream: NodeJS.WriteStream
  readonly env: Readonly<Record<string, string | undefined>>
  /** `--json` or `--quiet`: no live lines, no colour. */
  readonly plain?: boolean
}

type Style = Parameters<typeof styleText>[0]

/** Writes lines; on a terminal with colour and one live line that is overwritten, on a pipe plain lines without escape codes. */
export class Terminal {
  readonly #stream: NodeJS.WriteStream
  readonly #live: boolean
  readonly #colour: boolean
  #liveLine = false

  constructor({ stream, env, plain = false }: TerminalOptions) {
    this.#stream = stream
    this.#live = Boolean(stream.isTTY) && !plain && env['TERM'] !== 'dumb'
    this.#colour = this.#live && !env['NO_COLOR']
  }

  get isLive(): boolean {
    return this.#live
  }

  get width(): number {
    return this.#stream.columns ?? 100
  }

  /** A line that stays. */
  line(text: string): void {
    this.#stream.write(`${this.#clear()}${text}\n`)
  }

  /** A line that the next one overwrites; nothing on a pipe. */
  live(text: string): void {
    if (!this.#live) return
    this.#stream.write(`${this.#clear()}${text.slice(0, this.width - 1)}`)
    this.#liveLine = true
  }

  end(): void {
    this.#stream.write(this.#clear())
  }

  style(style: Style, text: string): string {
    return this.#colour ? styleText(style, text, { validateStream: false }) : text
  }

  #clear(): string {
    const clear = this.#liveLine ? '\r\u001b[2K' : ''
    this.#liveLine = false
    return clear
  }
}

/** What could leave its line, forge another one or turn its direction: control characters, and those of Unicode that do the same. */
const CONTROLS = /[\u0000-\u001f\u007f-\u009f\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]/g

/** A text from outside, fit for one line of a terminal. */
export const printable = (text: string): string => text.replace(CONTROLS, '?')

/** The same JSON with the same characters as escapes: it may be looked at on a terminal. */
export const printableJson = (json: string): string => json.replace(CONTROLS, (c) => `\\u${c.charCodeAt(0).toString(16).padStart(4, '0')}`)

/** Aligned columns without frames; the last column is not padded. Control characters cannot leave their cell. */
export function alignColumns(rows: readonly (readonly string[])[]): string[] {
  const clean = rows.map((row) => row.map(printable))
  const widths = (clean[0] ?? []).map((_, column) => Math.max(...clean.map((row) => row[column]?.length ?? 0)))
  return clean.map((row) =>
    row
      .map((cell, column) => (column === row.length - 1 ? cell : cell.padEnd(widths[column] ?? 0)))
      .join('  ')
      .trimEnd(),
  )
}

/** `12 s ago`, `3 min ago`, `2 d ago`; `in …` for the future. */
export function relativeTime(time: number, now: number): string {
  const seconds = Math.round(Math.abs(now - time) / 1000)
  const [size, unit] = seconds < 60 ? [1, 's'] : seconds < 3600 ? [60, 'min'] : seconds < 86_400 ? [3600, 'h'] : [86_400, 'd']
  const text = `${Math.round(seconds / (size as number))} ${unit}`
  return time > now ? `in ${text}` : `${text} ago`
}

/** `512 B`, `3.4 KiB`, `1 MiB`. */
export function byteSize(bytes: number): string {
  if (bytes < 1024) return `${bytes} B`
  const [size, unit] = bytes < 1024 ** 2 ? [1024, 'KiB'] : [1024 ** 2, 'MiB']
  return `${Number((bytes / (size as number)).toFixed(1))} ${unit}`
}
