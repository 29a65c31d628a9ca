// `npm run lint` runs it: the pages that are in plain English use none of the words that CONTRIBUTING.md rules out.
import fs from 'node:fs'
import path from 'node:path'

const root = path.resolve(import.meta.dirname, '..')

/** Pages that are in plain English: all of `docs`, so that a new one is among them from the start. */
export const PLAIN_PAGES: readonly string[] = [
  'README.md',
  'SECURITY.md',
  ...fs
    .readdirSync(path.join(root, 'docs'), { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.md'))
    .map((name) => `docs/${name}`),
]

export interface Rule {
  /** As the table in CONTRIBUTING.md has it. */
  readonly word: string
  readonly pattern: RegExp
  readonly better: string
}

const rule = (word: string, better: string, pattern = new RegExp(`\\b${word}\\b`, 'i')): Rule => ({ word, pattern, better })

/** "There is no file" is English; "this is no file" is not. */
export const RULES: readonly Rule[] = [
  rule('anew', 'again, or: from scratch'),
  rule('shall', 'must, should or will'),
  rule('is no', 'is not a', /(?<!\bthere )\b(?:is|are|was|were) no\b(?! (?:longer|more|less)\b)/i),
  rule('are none', 'has none, or: is not one', /(?<!\bthere )\b(?:is|are|was|were) none\b/i),
  rule('be it', 'whether it is … or …'),
  rule('of whom', 'two sentences', /\bof (?:whom|which)\b/i),
  rule('whose … whose', 'two sentences', /\bwhose\b[^.;:|]*\bwhose\b/i),
  rule('whoever', 'anyone who', /\b(?:whoever|whomever|whosoever)\b/i),
  rule('the contrary', 'the opposite'),
  rule('in the place of', 'replaces, or: instead of', /\b(?:in|takes?|took) the place of\b/i),
  rule('in place of', 'instead of'),
  rule('all the same', 'anyway'),
  rule('asked on', 'keeps asking, or: stays attested', /\b(?:asked|attested) on(?=[.,;:()]|$| \()/im),
  rule('what became of', 'what happened to'),
  rule('somebody', 'someone, anyone, everyone', /\b(?:some|any|every)body\b/i),
  rule('mend', 'fix', /\bmend(?:s|ed|ing)?\b/i),
  rule('whereof', 'of it', /\b(?:whereof|thereof|therein|thereby|wherein|whereby)\b/i),
  rule('enroll', 'enrol', /\benroll(?:ment|ments|s)?\b/i),
]

export interface Finding {
  /** Counted from 1. */
  readonly line: number
  readonly found: string
  readonly better: string
}

/** Blanks out what readers type, what programs say, and what links lead to: blocks of code, `code`, targets of links, headings. Lines stay where they are. */
function proseOf(markdown: string): string {
  const blank = (text: string) => text.replaceAll(/[^\n]/g, ' ')
  return markdown
    .replaceAll(/^[ \t]*```[\s\S]*?^[ \t]*```/gm, blank)
    .replaceAll(/`[^`\n]+`/g, blank)
    .replaceAll(/^#+ .*$/gm, blank)
    .replaceAll(/\]\([^)\s]*\)/g, blank)
}

/** The places of a page that use a word of the list. */
export function wordsIn(markdown: string): Finding[] {
  return proseOf(markdown)
    .split('\n')
    .flatMap((text, index) =>
      RULES.flatMap(({ pattern, better }) => {
        const found = pattern.exec(text)?.[0]
        return found === undefined ? [] : [{ line: index + 1, found, better }]
      }),
    )
}

if (process.argv[1] === import.meta.filename) {
  const messages = PLAIN_PAGES.flatMap((page) =>
    wordsIn(fs.readFileSync(path.join(root, page), 'utf8')).map(
      ({ line, found, better }) => `${page}:${line}: "${found}" is on the list of words we do not use; write: ${better}`,
    ),
  )
  for (const message of messages) console.error(message)
  if (messages.length > 0) console.error('hint: the list, with the reasons, is in CONTRIBUTING.md under "Words"')
  process.exitCode = messages.length > 0 ? 1 : 0
}
