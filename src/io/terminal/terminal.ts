import { styleText } from 'node:util'
import { printable } from '../../core/printable.ts'

export interface TerminalOptions {
  readonly stream: NodeJS.WriteStream
  readonly env: Readonly<Record<string, string | undefined>>
  /** `--json` or `--quiet`: no live lines, no colour. */
  readonly plain?: boolean
}

/** A word of ours in colour. */
export interface Mark {
  style: Parameters<typeof styleText>[0]
  text: string
}

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

  /** A line that stays, whatever `text` holds. @param mark stands before it. */
  line(text: string, mark?: Mark): void {
    const before = mark ? `${this.#styled(mark)} ` : ''
    this.#stream.write(`${this.#clear()}${before}${printable(text)}\n`)
  }

  /** A line that the next one overwrites; nothing on a pipe. */
  live(text: string): void {
    if (!this.#live) return
    this.#stream.write(`${this.#clear()}${printable(text.slice(0, this.width - 1))}`)
    this.#liveLine = true
  }

  end(): void {
    this.#stream.write(this.#clear())
  }

  #styled({ style, text }: Mark): string {
    return this.#colour ? styleText(style, text, { validateStream: false }) : text
  }

  #clear(): string {
    const clear = this.#liveLine ? '\r\u001b[2K' : ''
    this.#liveLine = false
    return clear
  }
}

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
