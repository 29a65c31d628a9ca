/** A page of the manual: the macros of man(7), which man-db, mandoc and groff all know. */
export class RoffPage {
  readonly #lines: string[]

  /** @param date of the release, ISO 8601. */
  constructor(title: string, section: 1 | 5, { version, date }: { version: string; date: string }) {
    this.#lines = [`.TH ${title.toUpperCase()} ${section} ${date} "keylime ${version}" "Keylime manual"`]
  }

  /** `name \- what it is`, which apropos(1) finds. */
  name(name: string, what: string): this {
    this.section('NAME')
    this.#lines.push(...wrapped(`${escaped(name)} \\- ${escaped(what)}`))
    return this
  }

  section(heading: string): this {
    this.#lines.push(`.SH ${heading}`)
    return this
  }

  subsection(heading: string): this {
    this.#lines.push(`.SS ${escaped(heading)}`)
    return this
  }

  /** Paragraphs; `words` in backticks are bold. */
  text(...paragraphs: readonly string[]): this {
    for (const [i, paragraph] of paragraphs.entries()) this.#lines.push(...(i > 0 ? ['.PP'] : []), ...textLines(paragraph))
    return this
  }

  /** An entry with a bold term. @param remark behind the term, plain. */
  entry(term: string, description: string, remark = ''): this {
    this.#lines.push('.TP', `\\fB${escaped(term)}\\fR${remark ? ` ${escaped(remark)}` : ''}`, ...textLines(description))
    return this
  }

  /** Lines of a command, as they are. */
  commands(lines: readonly string[]): this {
    this.#lines.push('.PP', '.nf', '.RS 4', ...lines.map((line) => guarded(escaped(line))), '.RE', '.fi')
    return this
  }

  /** Lines that begin with a bold word, one below the other. */
  synopsis(lines: readonly string[]): this {
    for (const [i, line] of lines.entries()) {
      const [, command = line, rest = ''] = /^([^[<|A-Z\u2026]*[^[<|A-Z\u2026\s])(.*)$/.exec(line) ?? []
      this.#lines.push(...(i > 0 ? ['.br'] : []), `\\fB${escaped(command)}\\fR${escaped(rest)}`)
    }
    return this
  }

  toString(): string {
    return `${this.#lines.join('\n')}\n`
  }
}

/** A sentence a line, as roff likes it, and no line is long. */
const textLines = (text: string): string[] =>
  text
    .split('\n')
    .flatMap((line) => line.split(/(?<=[.:?!]) (?=[A-Z`\u201c(])/))
    .filter((line) => line.trim() !== '')
    .flatMap((line) => wrapped(escaped(line.trim()).replace(/`([^`]+)`/g, '\\fB$1\\fR')))

const WIDTH = 78

function wrapped(text: string): string[] {
  const lines: string[] = []
  for (const word of text.split(' ')) {
    const last = lines.at(-1)
    if (last === undefined || last.length + word.length >= WIDTH) lines.push(word)
    else lines[lines.length - 1] = `${last} ${word}`
  }
  return lines.map(guarded)
}

/** A line that begins like a request is text all the same. */
const guarded = (line: string): string => line.replace(/^(?=[.'])/, '\\&')

const SPECIAL: Readonly<Record<string, string>> = {
  '\\': '\\e',
  '-': '\\-',
  '’': '\\(cq',
  '‘': '\\(oq',
  '“': '\\(lq',
  '”': '\\(rq',
  '…': '...',
  '–': '\\(en',
  '—': '\\(em',
  '~': '\\(ti',
  '^': '\\(ha',
  "'": '\\(aq',
}

/** Text for any output device: what is not ASCII is named. */
const escaped = (text: string): string =>
  text.replace(
    /[\\\-\u2019\u2018\u201c\u201d\u2026\u2013\u2014~^']|[^\u0020-\u007e]/g,
    (found) => SPECIAL[found] ?? `\\[u${found.codePointAt(0)!.toString(16).toUpperCase().padStart(4, '0')}]`,
  )
