/** A page of the manual as HTML: of the macros that src/tools/man/roff.ts writes, and no others. @throws Error for another one. */
export function manualHtml(roff: string): { title: string; html: string } {
  const writer = new ManualWriter()
  for (const line of roff.trimEnd().split('\n')) writer.line(line)
  return writer.end()
}

class ManualWriter {
  #title = ''
  readonly #html: string[] = []
  #paragraph: string[] = []
  /** The next line is the term of an entry. */
  #awaitsTerm = false
  #isList = false
  #isCode = false
  readonly #anchors = new Set<string>()

  line(line: string): void {
    const [, macro, rest = ''] = /^\.([A-Za-z]+) ?(.*)$/.exec(line) ?? []
    if (macro === undefined) this.#text(line)
    else this.#macro(macro, rest)
  }

  end(): { title: string; html: string } {
    this.#closeList()
    return { title: this.#title, html: this.#html.join('\n') }
  }

  #text(line: string): void {
    if (this.#isCode) this.#paragraph.push(plain(line))
    else if (this.#awaitsTerm) {
      this.#awaitsTerm = false
      if (!this.#isList) this.#html.push('<dl>')
      this.#isList = true
      this.#html.push(`<dt>${spoken(line)}</dt>`)
    } else this.#paragraph.push(spoken(line))
  }

  #macro(macro: string, rest: string): void {
    switch (macro) {
      case 'TH':
        this.#title = rest.replace(/^(\S+) (\d).*$/, (_, name: string, section: string) => `${plain(name).toLowerCase()}(${section})`)
        return
      case 'SH':
      case 'SS':
        this.#closeList()
        this.#heading(macro === 'SH' ? 2 : 3, plain(rest))
        return
      case 'PP':
        this.#flush()
        return
      case 'TP':
        this.#flush()
        this.#awaitsTerm = true
        return
      case 'br':
        this.#paragraph.push('<br>')
        return
      case 'nf':
        this.#flush()
        this.#isCode = true
        return
      case 'fi':
        if (this.#paragraph.length > 0) this.#put(`<pre><code>${this.#paragraph.join('\n')}</code></pre>`)
        this.#paragraph = []
        this.#isCode = false
        return
      case 'RS':
      case 'RE':
        return
      default:
        throw new Error(`the manual has a macro that the site does not know: .${macro}`)
    }
  }

  #heading(level: 2 | 3, text: string): void {
    const base = text
      .replaceAll(/&[a-z]+;/g, '')
      .toLowerCase()
      .replaceAll(/[^\p{L}\p{N}]+/gu, '-')
      .replaceAll(/^-|-$/g, '')
    let anchor = base
    for (let i = 1; this.#anchors.has(anchor); i++) anchor = `${base}-${i}`
    this.#anchors.add(anchor)
    const shown = level === 2 && /^[A-Z ]+$/.test(text) ? text.slice(0, 1) + text.slice(1).toLowerCase() : text
    this.#html.push(`<h${level} id="${anchor}">${shown}</h${level}>`)
  }

  #flush(): void {
    if (this.#paragraph.length > 0) this.#put(`<p>${this.#paragraph.join('\n')}</p>`)
    this.#paragraph = []
  }

  #put(html: string): void {
    this.#html.push(this.#isList ? `<dd>${html}</dd>` : html)
  }

  #closeList(): void {
    this.#flush()
    if (this.#isList) this.#html.push('</dl>')
    this.#isList = false
  }
}

const CHARACTERS: Readonly<Record<string, string>> = {
  '\\e': '\\',
  '\\-': '-',
  '\\&': '',
  '\\(cq': '’',
  '\\(oq': '‘',
  '\\(lq': '“',
  '\\(rq': '”',
  '\\(en': '–',
  '\\(em': '—',
  '\\(ti': '~',
  '\\(ha': '^',
  '\\(aq': "'",
}

const plain = (text: string): string =>
  text
    .replaceAll(/&/g, '&amp;')
    .replaceAll(/</g, '&lt;')
    .replaceAll(/>/g, '&gt;')
    .replaceAll(/\\\[u([0-9A-F]+)\]/g, (_, code: string) => String.fromCodePoint(Number.parseInt(code, 16)))
    .replaceAll(/\\(?:\(..|[-e&])/g, (found) => CHARACTERS[found.replace('&amp;', '&')] ?? found)

/** Bold words are what somebody types. `\&` in `&amp;` is not cut: only roff's own escapes begin with a backslash. */
const spoken = (text: string): string =>
  plain(text.replaceAll('\\&', ''))
    .replaceAll(/\\fB(.*?)\\fR/g, '<b>$1</b>')
    .replaceAll(/\b(keylime[\w.-]*)\((\d)\)/g, '<a href="$1.$2.html">$1($2)</a>')
