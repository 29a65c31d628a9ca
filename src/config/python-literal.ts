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

const escapes: Record<string, string> = {
  ...{ n: '\n', t: '\t', r: '\r', a: '\x07', b: '\b', f: '\f', v: '\v', '\\': '\\', "'": "'", '"': '"', '/': '/', '\n': '' },
}
/** A character by its number, of which Python has four forms. */
const NUMBERED = /^(?:x([0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|([0-7]{1,3}))/
const NUMBER = /^[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?$/
/** Lists and dictionaries inside each other: a setting has one or two, and each costs the reader a call. */
const MAX_DEPTH = 100

class LiteralReader {
  #at = 0
  #depth = 0
  readonly #text: string

  constructor(text: string) {
    this.#text = text
  }

  value(): Literal {
    const next = this.#peek()
    if (next === '[') return this.#inside(() => this.#sequence('[', ']'))
    if (next === '(') return this.#inside(() => this.#tuple())
    if (next === '{') return this.#inside(() => this.#dict())
    if (next === "'" || next === '"') return this.#string()
    return this.#word()
  }

  #inside(read: () => Literal): Literal {
    if (++this.#depth > MAX_DEPTH) this.#fail()
    const value = read()
    this.#depth--
    return value
  }

  end(): void {
    if (this.#peek() !== '') this.#fail()
  }

  /** A value in brackets is the value itself; the comma makes a tuple of it. */
  #tuple(): Literal {
    const start = this.#at
    const items = this.#sequence('(', ')')
    return items.length === 1 && !/,\s*\)$/.test(this.#text.slice(start, this.#at)) ? items[0]! : items
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
        out += this.#escaped()
      }
    }
  }

  /** What stands behind a backslash; what Python does not know stays as it is. */
  #escaped(): string {
    const numbered = NUMBERED.exec(this.#text.slice(this.#at, this.#at + 9))
    if (numbered) {
      const [all, ...forms] = numbered
      const code = Number.parseInt(forms.find((digits) => digits !== undefined)!, forms[3] === undefined ? 16 : 8)
      if (code > 0x10ffff) return this.#fail()
      this.#at += all.length
      return String.fromCodePoint(code)
    }
    const character = this.#text[this.#at++] ?? ''
    return escapes[character] ?? `\\${character}`
  }

  #word(): Literal {
    const match = /^[\w.+-]+/.exec(this.#text.slice(this.#at))
    if (!match) return this.#fail()
    const word = match[0]
    const known = words.get(word)
    if (known === undefined && !(NUMBER.test(word) && Number.isFinite(Number(word)))) return this.#fail()
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
