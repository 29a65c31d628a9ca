import fs from 'node:fs'
import path from 'node:path'

const root = path.resolve(import.meta.dirname, '../../..')
const read = (file: string) => fs.readFileSync(path.join(root, file), 'utf8')
const sources = fs
  .readdirSync(path.join(root, 'src'), { recursive: true, withFileTypes: true })
  .filter((entry) => entry.isFile() && entry.name.endsWith('.ts'))
  .map((entry) => fs.readFileSync(path.join(entry.parentPath, entry.name), 'utf8'))
  .join('\n')

const guide = fs
  .readdirSync(path.join(root, 'docs/guide'), { recursive: true, encoding: 'utf8' })
  .filter((name) => name.endsWith('.md'))
  .map((name) => `docs/guide/${name}`)

test('each message of the troubleshooting page is one that the program says', () => {
  const rows = read('docs/guide/troubleshooting.md')
    .split('\n')
    .filter((line) => line.startsWith('| `'))
  const quoted = rows.flatMap((row) => [...row.split('|')[1]!.matchAll(/`([^`]+)`/g)].map((match) => match[1]!))
  const pieces = quoted
    .filter((text) => text.includes(' '))
    .flatMap((text) =>
      text
        .split(/…|: |\b[A-Z]{6,}\b/)
        .map((piece) => piece.trim())
        .filter((piece) => piece.length > 8),
    )
  expect(pieces.length).toBeGreaterThan(8)
  expect(pieces.filter((piece) => !sources.includes(piece.replace(/ at$/, '')))).toEqual([])
})

test('each test that the table of invariants names is there', () => {
  const [, table] = read('docs/architecture.md').split('## Invariants')
  const named = [...table!.split('## Four lives')[0]!.matchAll(/`((?:unit|integration|e2e)\/[\w/-]+)`/g)].map((match) => match[1]!)
  expect(named.length).toBeGreaterThan(8)
  expect(named.filter((name) => !fs.existsSync(path.join(root, 'test', `${name}.test.ts`)))).toEqual([])
})

test('each file and folder that the map, the invariants and the lives name is there', () => {
  const named = [...read('docs/architecture.md').matchAll(/`((?:core|io|authority|config|roles|tools)\/[\w./-]+)`/g)].map(
    (match) => match[1]!,
  )
  expect(named.length).toBeGreaterThan(60)
  const layers = new Set(['roles/x', 'tools/x']) // in the table of who may enter where
  expect(named.filter((name) => !layers.has(name) && !fs.existsSync(path.join(root, 'src', name)))).toEqual([])
})

test('each test that the page of upstream’s scenarios names is there', () => {
  const named = [...read('docs/conformance.md').matchAll(/`((?:unit|integration|e2e)\/[\w/-]+)`/g)].map((match) => match[1]!)
  expect(named.length).toBeGreaterThan(40)
  expect(named.filter((name) => !fs.existsSync(path.join(root, 'test', `${name}.test.ts`)))).toEqual([])
})

test('each page that README and guides link to is there', () => {
  const pages = ['README.md', 'docs/conformance.md', ...guide]
  const missing = pages.flatMap((page) =>
    [...read(page).matchAll(/\]\(([^)#:]+)(?:#[^)]*)?\)/g)]
      .map((match) => path.join(path.dirname(page), match[1]!))
      .filter((target) => !fs.existsSync(path.join(root, target))),
  )
  expect(missing).toEqual([])
})

test('each section that README and guides link to is there', () => {
  const anchor = (heading: string) =>
    heading
      .toLowerCase()
      .replaceAll(/[^\p{L}\p{N} _-]/gu, '')
      .replaceAll(' ', '-')
  const anchorsOf = (page: string) => [...read(page).matchAll(/^#+ (.+)$/gm)].map((match) => anchor(match[1]!))
  const pages = ['README.md', ...guide]
  const missing = pages.flatMap((page) =>
    [...read(page).matchAll(/\]\(([^)#:]*)#([^)]+)\)/g)].flatMap(([, to = '', name = '']) => {
      const target = to === '' ? page : path.join(path.dirname(page), to)
      return anchorsOf(target).includes(name) ? [] : [`${page}: ${to}#${name}`]
    }),
  )
  expect(missing).toEqual([])
})

test('each page of the guide is in its index, and README leads to the index', () => {
  const index = read('docs/guide/README.md')
  const linked = [...index.matchAll(/\]\(([^)#]+)/g)].map((match) => path.posix.join('docs/guide', match[1]!))
  expect(guide.filter((page) => page !== 'docs/guide/README.md' && !linked.includes(page))).toEqual([])
  expect(read('README.md')).toContain('(docs/guide/README.md)')
})

test('.editorconfig formats as biome.json does', () => {
  const { indentStyle, indentWidth, lineWidth } = JSON.parse(read('biome.json')).formatter
  const [, everywhere] = read('.editorconfig').split('[*]')
  const settings = Object.fromEntries([...everywhere!.split('\n[')[0]!.matchAll(/^(\w+) = (.+)$/gm)].map((match) => [match[1], match[2]]))
  expect(settings).toMatchObject({ indent_style: indentStyle, indent_size: String(indentWidth), max_line_length: String(lineWidth) })
})
