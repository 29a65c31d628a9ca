import fs from 'node:fs'
import path from 'node:path'

const root = path.resolve(import.meta.dirname, '../../..')
/** What no person wrote or nobody may change: not looked at. This file has wrong references on purpose. */
const LEFT_OUT =
  /^(?:\.git|node_modules|dist|native\/build|bin\/keylime|package-lock\.json|test\/(?:data|vectors|vm\/work)|test\/unit\/docs\/references\.test\.ts)(?:\/|$)/
const PAGES = { protocol: 'docs/protocol/protocol.md', policies: 'docs/protocol/policies.md' } as const

const isText = (file: string) => /\.(?:ts|mjs|cjs|js|py|cc|h|c|S|md|sh|gyp|json|map|txt|conf)$|^bin\/|^\.ci\//.test(file)
const files = walk('')
const texts = new Map(files.map((file) => [file, fs.readFileSync(path.join(root, file), 'utf8')]))

function walk(directory: string): string[] {
  return fs
    .readdirSync(path.join(root, directory), { withFileTypes: true })
    .map((entry) => ({ entry, file: path.posix.join(directory, entry.name) }))
    .filter(({ file }) => !LEFT_OUT.test(file))
    .flatMap(({ entry, file }) => (entry.isDirectory() ? walk(file) : entry.isFile() && isText(file) ? [file] : []))
}

/** Numbers and titles of the headings of a page: `4.6` of `### 4.6 Judging a quote`. */
const sectionsOf = (page: string): Set<string> =>
  new Set([...read(page).matchAll(/^#{2,4} ((?:[A-G]|\d+)(?:\.\d+)*)(?= )/gm)].map((match) => match[1]!))
const read = (file: string) => texts.get(file) ?? fs.readFileSync(path.join(root, file), 'utf8')

const known = {
  protocol: sectionsOf(PAGES.protocol),
  policies: sectionsOf(PAGES.policies),
  invariant: new Set(
    [...(read('docs/architecture.md').split('## Invariants')[1] ?? '').matchAll(/^\| (\d+) \|/gm)].map((match) => match[1]!),
  ),
  decision: new Set(
    fs.readdirSync(path.join(root, 'docs/decisions')).flatMap((name) => {
      const number = /^(\d{4})-[a-z0-9-]+\.md$/.exec(name)?.[1]
      return number ? [String(Number(number))] : []
    }),
  ),
}
type Kind = keyof typeof known

const MORE = '(?:(?:, | and | to )(?:NUMBER)(?![\\w.]*\\w))*'
/** `protocol 4.6`, also `protocol 2.6 to 2.10`, `policies A.6, A.10`. */
const FORMS = (['protocol', 'policies', 'invariant', 'decision'] as const).map((kind): [Kind, RegExp] => {
  const number = kind === 'policies' ? '[A-G](?:\\.\\d+)*' : kind === 'protocol' ? '\\d+(?:\\.\\d+)*' : '\\d+'
  const word = `${kind.slice(0, 1).toUpperCase()}|${kind.slice(0, 1)}`
  return [kind, new RegExp(`\\b(?:${word})${kind.slice(1)} (${number}\\b${MORE.replace('NUMBER', number)})`, 'g')]
})

/** Every reference in a text, each number on its own. */
function referencesIn(text: string): { kind: Kind; number: string }[] {
  const joined = text.replace(/\n[ \t]*(?:\*|\/\/|#)? ?(?=[^\n])/g, ' ') // a comment may break anywhere
  return FORMS.flatMap(([kind, form]) =>
    [...joined.matchAll(form)].flatMap((match) => match[1]!.split(/, | and | to /).map((number) => ({ kind, number }))),
  )
}
const unknownIn = (text: string) =>
  referencesIn(text)
    .filter(({ kind, number }) => !known[kind].has(number))
    .map(({ kind, number }) => `${kind} ${number}`)

test('there are pages to refer to', () => {
  expect(known.protocol.size).toBeGreaterThan(60)
  expect(known.policies.size).toBeGreaterThan(50)
  expect(known.invariant.size).toBeGreaterThan(9)
  expect(known.decision.size).toBeGreaterThan(30)
})

test('every reference of a comment or a page resolves to a heading, an invariant or a decision', () => {
  const all = [...texts].flatMap(([file, text]) => referencesIn(text).map((reference) => ({ file, ...reference })))
  expect(all.length).toBeGreaterThan(150)
  const wrong = [...texts].flatMap(([file, text]) => unknownIn(text).map((reference) => `${file}: ${reference}`))
  expect(wrong).toEqual([])
})

test('a reference to what does not exist is found, in each of its forms', () => {
  expect(unknownIn('/** Answers (protocol 4.6, 4.99), and policies A.99; */')).toEqual(['protocol 4.99', 'policies A.99'])
  expect(unknownIn('// (protocol 2.6 to 2.77)')).toEqual(['protocol 2.77'])
  expect(unknownIn(' * breaks its line after policies\n * G.9')).toEqual(['policies G.9'])
  expect(unknownIn('Protocol 99 and Policies H and invariant 99 and decision 9999')).toEqual([
    'protocol 99',
    'invariant 99',
    'decision 9999',
  ])
  expect(unknownIn('protocol 4.6, 5 steps; policies, 2000 mutations; policies A; invariant 2')).toEqual([])
})

/** Sections of what others specified, named with it. */
const OUTSIDE = /(?:RFC \d+|Part \d|UEFI|TCG|Profile(?: [\d.]+)?|FIPS [\d-]+|Device Identity and Attestation"|sd-daemon\(\d\))[^.;]{0,40}$/

/** `section 4` of nothing that is named: a document that only its author has. */
const homelessSections = (text: string) =>
  [...text.matchAll(/\b(?:section|§) ?[A-Z]?\d[\d.]*/g)]
    .filter((match) => !OUTSIDE.test(text.slice(Math.max(0, match.index - 90), match.index)))
    .map((match) => match[0])

const isCode = (file: string) => /^(?:src|native|test)\/.*\.(?:ts|cc|h|c|py|mjs)$|^build\.ts$/.test(file)

test('a section of code’s comments belongs to a specification that is named', () => {
  const wrong = [...texts].filter(([file]) => isCode(file)).flatMap(([file, text]) => homelessSections(text).map((at) => `${file}: ${at}`))
  expect(wrong).toEqual([])
  expect(homelessSections('as RFC 5280, section 6 says')).toEqual([])
  expect(homelessSections('as some notes, section 6, say')).toEqual(['section 6'])
})

test('every document that a file names is in the project', () => {
  const missing = [...texts].flatMap(([file, text]) =>
    documentsIn(text)
      .filter((name) => !isThere(file, name))
      .map((name) => `${file}: ${name}`)
      .filter((place) => !WRITTEN.has(place)),
  )
  expect(missing).toEqual([])
  expect(documentsIn('see no-such-page.md, or docs/none.md')).toEqual(['no-such-page.md', 'docs/none.md'])
  expect(isThere('docs/architecture.md', 'no-such-page.md')).toBe(false)
})

const documentsIn = (text: string) => [...text.matchAll(/(?<![\w/.*$}-])(?:[\w.-]+\/)*[\w-]+\.md\b(?!\.)/g)].map((match) => match[0])

/** Not a document of ours: what the VM suite writes beside a recording. */
const WRITTEN = new Set(['test/vm/record.ts: ORIGIN.md'])

/** By its path from the file, from the root, or by its name beside the pages. */
const isThere = (file: string, name: string) =>
  [path.dirname(file), '.', 'docs', 'docs/protocol', 'docs/guide', 'docs/guide/tasks'].some((from) =>
    fs.existsSync(path.join(root, from, name)),
  )

test.each(['SECURITY.md', 'docs/tests-that-would-notice.md'])('every test that %s names is there', (page) => {
  const named = [...read(page).matchAll(/`((?:unit|integration|e2e)\/[\w/-]+)`/g)].map((match) => match[1]!)
  expect(named.length).toBeGreaterThan(30)
  expect(named.filter((name) => !fs.existsSync(path.join(root, 'test', `${name}.test.ts`)))).toEqual([])
})

test('every link of a page leads to a page, and to a heading of it', () => {
  const pages = [...texts].filter(([file]) => file.endsWith('.md'))
  const wrong = pages.flatMap(([file, text]) =>
    [...text.replace(/```[\s\S]*?```/g, '').matchAll(/\]\(([^)#\s]*)(?:#([^)\s]*))?\)/g)]
      .filter((match) => !/^[a-z]+:/.test(match[1]!))
      .filter((match) => !leadsSomewhere(file, match[1]!, match[2]))
      .map((match) => `${file}: ${match[0]}`),
  )
  expect(pages.length).toBeGreaterThan(40)
  expect(wrong).toEqual([])
  expect(leadsSomewhere('docs/protocol/policies.md', 'protocol.md', '46-judging-a-quote')).toBe(true)
  expect(leadsSomewhere('docs/protocol/policies.md', 'protocol.md', '46-judging-nothing')).toBe(false)
})

function leadsSomewhere(file: string, target: string, anchor: string | undefined): boolean {
  const page = target === '' ? file : path.posix.join(path.posix.dirname(file), target)
  if (!fs.existsSync(path.join(root, page))) return false
  return anchor === undefined || anchorsOf(page).has(anchor)
}

/** Headings as code hosts turn them into anchors. */
const anchorsOf = (page: string): Set<string> =>
  new Set(
    [...read(page).matchAll(/^#{1,6} (.+)$/gm)].map((match) =>
      match[1]!
        .replace(/\[([^\]]*)\]\([^)]*\)/g, '$1')
        .toLowerCase()
        .replace(/[^\p{L}\p{N}\s_-]/gu, '')
        .replaceAll(' ', '-'),
    ),
  )
