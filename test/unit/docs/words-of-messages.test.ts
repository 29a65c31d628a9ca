import fs from 'node:fs'
import path from 'node:path'
import { parse } from '@babel/parser'
import { wordsIn } from '../../../docs/check-words.ts'

const src = path.resolve(import.meta.dirname, '../../../src')
const files = fs.readdirSync(src, { recursive: true, encoding: 'utf8' }).filter((name) => name.endsWith('.ts'))

interface Token {
  readonly type: { readonly label: string }
  readonly value: unknown
  readonly loc: { readonly start: { readonly line: number } }
}

interface Text {
  readonly line: number
  readonly text: string
}

/** What a file says to people: its literal texts of two words and more, the pieces of templates each on its own. */
const textsIn = (source: string): Text[] =>
  (parse(source, { sourceType: 'module', plugins: ['typescript'], tokens: true }).tokens as Token[])
    .filter(({ type, value }) => ['string', 'template'].includes(type.label) && /\S\s+\S/.test(String(value)))
    .map(({ value, loc }) => ({ line: loc.start.line, text: String(value) }))

test('texts are found, and the words in them', () => {
  // biome-ignore lint/suspicious/noTemplateCurlyInString: the source of a template
  const found = textsIn("log('this is no key'); log(`${name} shall be ${other} put anew there`)").flatMap(({ text }) => wordsIn(text))
  expect(found.map((finding) => finding.found)).toEqual(['is no', 'shall', 'anew'])
})

test('hints, errors and logs use none of the words that we do not use', () => {
  const texts = files.flatMap((file) => textsIn(fs.readFileSync(path.join(src, file), 'utf8')).map((text) => ({ file, ...text })))
  expect(texts.length).toBeGreaterThan(3000)
  const wrong = texts.flatMap(({ file, line, text }) =>
    wordsIn(text).map(({ found, better }) => `${file}:${line}: "${text}": for "${found}" write: ${better}`),
  )
  expect(wrong).toEqual([])
})
