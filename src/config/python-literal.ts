/** The values that a Python literal can hold here. Tuples become arrays. */
export type Literal = string | number | boolean | null | Literal[] | { [key: string]: Literal }

/**
 * Reads one Python literal (list, tuple, dict, string, number, True, False, None), which is how upstream writes lists in its configuration.
 * JSON's `true`, `false` and `null` are taken as well. Throws an Error that says where the text stops making sense.
 */
export function parsePythonLiteral(text: string): Literal {
  const reader = new LiteralReader(text)
  const value = reader.value()
  reader.end()
  return value
}

const words = new Map<string, Literal>([
  ['True', true],
  ['False', false],
  ['None', null],
  ['true', true],
  ['false', false],
  ['null', null],
])

const escapes: Record<string, string> = { n: '\n', t: '\t', r: '\r', '\\': '\\', "'": "'", '"': '"', '/': '/' }

class LiteralReader {
  #at = 0
  readonly #text: string

  constructor(text: string) {
    this.#text = text
  }

  value(): Literal {
    const next = this.#peek()
    if (next === '[') return this.#sequence('[', ']')
    if (next === '(') return this.#sequence('(', ')')
    if (next === '{') return this.#dict()
    if (next === "'" || next === '"') return this.#string()
    return this.#word()
  }

  end(): void {
    if (this.#peek() !== '') this.#fail()
  }

  #sequence(open: string, close: string): Literal[] {
    const items: Literal[] = []
    this.#take(open)
    while (this.#peek() !== close) {
      items.push(this.value())
      if (this.#peek() === ',') this.#take(',')
      else if (this.#peek() !== close) this.#fail()
    }
    this.#take(close)
    return items
  }

  #dict(): { [key: string]: Literal } {
    const entries: [string, Literal][] = []
    this.#take('{')
    while (this.#peek() !== '}') {
      const key = this.value()
      if (typeof key !== 'string' && typeof key !== 'number') this.#fail()
      this.#take(':')
      entries.push([String(key), this.value()])
      if (this.#peek() === ',') this.#take(',')
      else if (this.#peek() !== '}') this.#fail()
    }
    this.#take('}')
    return Object.fromEntries(entries)
  }

  #string(): string {
    const quote = this.#peek()
    this.#take(quote)
    let out = ''
    for (;;) {
      const character = this.#text[this.#at++]
      if (character === undefined) return this.#fail()
      if (character === quote) return out
      if (character !== '\\') out += character
      else {
        const escaped = this.#text[this.#at++] ?? ''
        out += escapes[escaped] ?? `\\${escaped}`
      }
    }
  }

  #word(): Literal {
    const match = /^[\w.+-]+/.exec(this.#text.slice(this.#at))
    if (!match) return this.#fail()
    const word = match[0]
    const known = words.get(word)
    if (known === undefined && !/^[+-]?\d+(\.\d+)?$/.test(word)) return this.#fail()
    this.#at += word.length
    return known === undefined ? Number(word) : known
  }

  #peek(): string {
    while (/\s/.test(this.#text[this.#at] ?? '')) this.#at++
    return this.#text[this.#at] ?? ''
  }

  #take(character: string): void {
    if (this.#peek() !== character) this.#fail()
    this.#at++
  }

  #fail(): never {
    throw new Error(`must be a list such as ['a', 'b'] (it stops making sense at character ${this.#at + 1})`)
  }
}
