/** Escapes of Python's `re`; every other letter behind a backslash is an error there, and means something else or nothing to RE2. */
const KEPT = new Set('AbBaDSfnrtvdsw')
const OUTSIDE: Record<string, string> = { Z: '\\z', w: '[\\p{L}\\p{N}_]', W: '[^\\p{L}\\p{N}_]', d: '\\p{Nd}', D: '\\P{Nd}' }
const INSIDE: Record<string, string> = { w: '\\p{L}\\p{N}_', d: '\\p{Nd}', D: '\\P{Nd}', b: '\\x08' }

/**
 * The RE2 expression with the meaning that `text` has to Python's `re` module (policies A.8): `\Z`, `{,n}`, comments, `\uXXXX`, classes of Unicode.
 * @throws Error with a sentence for what Python refuses, or what cannot be matched in linear time (the rest of that is found by RE2 itself).
 */
export function translatePythonRegex(text: string): string {
  let out = ''
  let inClass = false
  for (let i = 0; i < text.length; i++) {
    const c = text[i]!
    if (c === '\\') {
      const { pattern, length } = translateEscape(text, i, inClass)
      out += pattern
      i += length - 1
    } else if (inClass) {
      if (c === ']') inClass = false
      out += c === '[' ? '\\[' : c
    } else if (c === '[') {
      inClass = true
      const head = /^\[\^?\]?/.exec(text.slice(i))![0]
      out += head.endsWith(']') ? `${head.slice(0, -1)}\\]` : head
      i += head.length - 1
    } else if (text.startsWith('(?#', i)) {
      const end = text.indexOf(')', i)
      if (end < 0) throw new Error('a comment has no end')
      i = end
    } else if (c === '(' && text[i + 1] === '?') {
      checkGroup(text.slice(i))
      out += c
    } else if (c === '{' && /^\{,\d+\}/.test(text.slice(i, i + 12))) out += '{0'
    else out += c
  }
  return out
}

/** What it costs to make these parts of an expression blind to case, in steps of RE2's program: a range is gone through character by character. */
const FOLDED = [
  { part: /-[^A-Za-z0-9\]]/g, steps: 1000 },
  { part: /\\[wWdDsS]/g, steps: 50 },
] as const
const BLIND_TO_CASE = /\(\?[a-z]*i/

/** What RE2 does for an expression of Python and does not show in the size of its program, in steps of that; at least so much. */
export const hiddenSteps = (expression: string): number =>
  BLIND_TO_CASE.test(expression) ? FOLDED.reduce((sum, { part, steps }) => sum + steps * (expression.match(part)?.length ?? 0), 0) : 0

const BOUNDARY = /\\[bB]/
const NOT_ASCII = /[^\0-\x7f]/

/**
 * Whether the translated expression may have another meaning for `text` than to Python: where a word ends is found for ASCII alone, and to Python `é` is a
 * letter. Then it must not count as a match.
 */
export const isUncertain = (expression: string, text: string): boolean => BOUNDARY.test(expression) && NOT_ASCII.test(text)

function translateEscape(text: string, at: number, inClass: boolean): { pattern: string; length: number } {
  const letter = text[at + 1]
  if (letter === undefined) throw new Error('there is a backslash at the end')
  const unicode = /^(?:u[0-9a-fA-F]{4}|U[0-9a-fA-F]{8}|x[0-9a-fA-F]{2})/.exec(text.slice(at + 1, at + 10))?.[0]
  if (unicode) return { pattern: `\\x{${unicode.slice(1)}}`, length: unicode.length + 1 }
  if (/[1-9]/.test(letter))
    throw new Error(`\\${letter} refers to a group, which cannot be matched in linear time: write what the group stands for`)
  const octal = /^0[0-7]{0,2}/.exec(text.slice(at + 1, at + 4))?.[0]
  if (octal) return { pattern: `\\x{${Number.parseInt(octal, 8).toString(16)}}`, length: octal.length + 1 }
  if (letter === 'N') throw new Error('\\N{NAME} is not supported: write the character')
  if (inClass && letter === 'W') throw new Error('\\W inside of [...] is not supported: write the characters')
  const special = (inClass ? INSIDE : OUTSIDE)[letter]
  if (special) return { pattern: special, length: 2 }
  if (letter === 's') return { pattern: inClass ? '\\s\\x0b' : '[\\s\\x0b]', length: 2 }
  if (/[a-zA-Z]/.test(letter) && (!KEPT.has(letter) || (inClass && /[AB]/.test(letter)))) throw new Error(`\\${letter} is not known`)
  return /[\w]/.test(letter) ? { pattern: `\\${letter}`, length: 2 } : { pattern: literal(letter), length: 2 }
}

const literal = (character: string) => (/[!-/:-@[-`{-~]/.test(character) ? `\\${character}` : character)

function checkGroup(text: string): void {
  if (/^\(\?(?:[=!]|<[=!])/.test(text))
    throw new Error(
      'lookahead and lookbehind cannot be matched in linear time: write what is meant, not what is not, such as /usr/(?:bin|lib)/ instead of /(?!opt)',
    )
  if (text.startsWith('(?P='))
    throw new Error('(?P=name) refers to a group, which cannot be matched in linear time: write what the group stands for')
  if (text.startsWith('(?>') || text.startsWith('(?('))
    throw new Error('atomic and conditional groups cannot be matched in linear time: write (?:…), and each case as an alternative')
  if (!/^\(\?(?:P<|:|[aimsux]+(?:-[imsx]+)?[:)]|-[imsx]+:)/.test(text)) throw new Error('a group begins with (? and something unknown')
  if (/^\(\?[ims]*[aux]/.test(text))
    throw new Error('the flags a, u and x are not supported: write the expression without blanks and comments, and [A-Za-z0-9_] for \\w')
}

const REPETITION = /[*+?}]\+/
/** What RE2 says of expressions that Python takes. */
const RE2_WORDS: readonly [said: RegExp, expression: RegExp, meaning: string][] = [
  [
    /nested repetition/,
    REPETITION,
    'possessive repetitions (*+, ++, ?+) cannot be matched in linear time: write * for *+, + for ++, ? for ?+',
  ],
  [/repeat count/, /\{/, 'a part may be repeated at most 1000 times: write * or + instead of such a large bound'],
]

/** Why an expression that Python takes is refused here, with a way to write it otherwise. */
export function regexDefect(expression: string, cause: unknown): string {
  const { message } = cause as Error
  return RE2_WORDS.find(([said, form]) => said.test(message) && form.test(expression))?.[2] ?? message
}
